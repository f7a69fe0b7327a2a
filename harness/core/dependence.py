"""How many independent samples a series of dependent ones is worth, for an interval of one of its percentiles.

The variance of a percentile of a stationary series is that of independent samples times tau = 1 + 2 (r1 + r2 + ...), where rk is the
autocorrelation of the indicator "at most the percentile" k samples apart (Heidelberger and Lewis 1984, Quantile Estimation in
Dependent Sequences, Operations Research 32(1)). The sum is cut off by Geyer's initial monotone positive sequence (Geyer 1992, Practical
Markov Chain Monte Carlo, Statistical Science 7(4), section 3.3) and corrected for the percentile being one of the very samples, which
takes tau / n from every rk. Independent samples lose next to nothing: a series counts as dependent only where its neighbors agree more
often than chance lets one series in twenty (one-sided, as in the runs test of Wald and Wolfowitz 1940), at the median or at the percentile.

It corrects what repeats within a few dozen samples. A drift over the whole series, or a memory of a tenth of it, can't be told from so few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Fewer samples than this can't tell dependence from chance; they count as independent.
LEAST = 30
#: Fewer on one side of a percentile than this can't tell either: there the median alone says whether the series is dependent.
SIDE = 10
#: Standard deviations by which the first autocorrelation must exceed 0.
SURE = 1.645
#: Of more samples than this every second, third, ... is looked at, since each lag costs as much as there are samples.
MOST = 20_000
#: The correction for the estimated percentile multiplies tau by no more than 1 over this.
LEAST_LEFT = 0.5


class Indicator:
    """Which samples are at most a threshold, one byte each in a long integer, so that a lag costs a shift and a count of bits."""

    def __init__(self, samples: Sequence[float], threshold: float) -> None:
        self._count = len(samples)
        self._flags = int.from_bytes(bytes(map(float(threshold).__ge__, samples)), "little")
        self._share = self._flags.bit_count() / self._count
        self._variance = self._share * (1 - self._share)

    def autocorrelation(self, lag: int) -> float:
        """Of samples `lag` apart; 0 where all samples are on one side."""
        if not self._variance:
            return 0.0
        late = self._flags >> (8 * lag)
        early = self._flags & ((1 << (8 * (self._count - lag))) - 1)
        both, either = (early & late).bit_count(), early.bit_count() + late.bit_count()
        products = both - self._share * either + (self._count - lag) * self._share**2
        return products / self._count / self._variance

    @property
    def is_dependent(self) -> bool:
        fewer = min(self._share, 1 - self._share) * self._count
        return fewer >= SIDE and self.autocorrelation(1) >= SURE / math.sqrt(self._count)

    def tau(self, lags: float = math.inf) -> float:
        """Samples that tell as much as one independent sample, at least 1; from that many lags at most."""
        total, last, pairs = -1.0, math.inf, 0
        while 2 * pairs + 1 < min(self._count // 2, lags):
            pair = (self.autocorrelation(2 * pairs) if pairs else 1.0) + self.autocorrelation(2 * pairs + 1)
            if pair <= 0:
                break
            last = min(last, pair)
            total += 2 * last
            pairs += 1
        return max(1.0, total / max(LEAST_LEFT, 1 - (4 * pairs - 1) / self._count))


def samples_per_independent(samples: Sequence[float], ordered: Sequence[float], share: float) -> float:
    """`tau` of samples in the order in which they were taken, at a percentile; `ordered` are the same, sorted. 1 for independent ones.

    Of very many samples, those a step apart are looked at first. Where these are dependent all samples together count for no more than
    they do; where not, no memory is longer than a step.
    """
    if len(samples) < LEAST:
        return 1.0
    step = math.ceil(len(samples) / MOST)
    limits = list(dict.fromkeys((_threshold(ordered, share), _threshold(ordered, 0.5))))
    apart = [Indicator(samples[::step], limit) for limit in limits]
    if any(one.is_dependent for one in apart):
        return step * apart[0].tau()
    every = [Indicator(samples, limit) for limit in limits] if step > 1 else []
    return every[0].tau(lags=2 * step) if any(one.is_dependent for one in every) else 1.0


def _threshold(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered), max(1, math.ceil(share * len(ordered)))) - 1]
