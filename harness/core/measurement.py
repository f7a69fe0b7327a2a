"""Measured values with their raw samples, and what could not be measured with the reason.

Percentile intervals are distribution-free: they are order statistics whose ranks come from the binomial distribution
(David and Nagaraja, Order Statistics, 3rd ed., section 7.1), so they hold for skewed and multimodal samples. Samples that resemble the ones
before them tell less than independent ones: the ranks are those of as many independent samples as they are worth (`core.dependence`), and the
interval's `method` says how many these are. Budgets on a tail can be judged with the bound at the end of this file, which needs fewer samples.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, FiniteFloat, GetPydanticSchema, field_validator, model_validator, with_config
from typing_extensions import TypedDict

from harness.core.dependence import samples_per_independent
from harness.core.errors import NEWER, UnknownNameError
from harness.core.means import mean_reach
from harness.core.quantity import QUANTITIES, quantity
from harness.core.specs import Value

CONFIDENCE = 0.95
#: Of the bound on a tail, as in MLPerf's LoadGen.
TAIL_CONFIDENCE = 0.99
#: The largest figure, and one over the least time or rate: what is computed from figures within stays finite.
MOST = 1e100
#: Quantities that are never zero: they are divided by.
_DIVISORS = frozenset(known.name for known in QUANTITIES.values() if known.unit in {"s", "px/s", "km2/s"})
#: Standard deviations beyond which a binomial count has no chance that shows in a float.
FAR = 10


def _known(name: str) -> str:
    if name in QUANTITIES:
        return name
    raise ValueError(f"{UnknownNameError('quantity', name, QUANTITIES).message}; {NEWER}")


#: The name of a quantity.
Known = Annotated[str, AfterValidator(_known)]


class Interval(Value):
    """A confidence interval, in the unit of its quantity."""

    low: float = Field(ge=-MOST, le=MOST)
    high: float = Field(ge=-MOST, le=MOST)
    confidence: float = Field(CONFIDENCE, gt=0, lt=1)
    method: str

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"the interval's low end {self.low:g} is above its high end {self.high:g}")
        return self


@with_config(ConfigDict(extra="allow", allow_inf_nan=False))
class WorstTile(TypedDict, total=False):
    """A tile on which an artifact agrees with its checkpoint less than on others."""

    tile: str
    agreement: float


@with_config(ConfigDict(extra="allow", allow_inf_nan=False))
class MeasuredDetail(TypedDict, total=False):
    """The keys of a measurement's detail that tables, pictures and reports read; probes write any others beside them."""

    split: str
    tiles: int
    regions: int
    baselines: dict[str, float]
    per_class: dict[str, float | None]
    per_region: dict[str, float | None]
    worst_tiles: list[WorstTile]
    peak_flops: Annotated[float, Field(gt=0, le=MOST)]
    peak_bandwidth: Annotated[float, Field(gt=0, le=MOST)]


class Measurement(Value):
    """Samples of one quantity in its base unit. Statistics are derived from the samples, never stored alone.

    `bounds` is the interval of a value whose samples do not carry it themselves, for example one over regions.
    """

    kind: Literal["measured"] = "measured"
    quantity: Known
    samples: tuple[float, ...] = Field(min_length=1)
    warmup: tuple[FiniteFloat, ...] = ()
    bounds: Interval | None = None
    detail: Annotated[dict[str, Any], GetPydanticSchema(lambda _, handler: handler.generate_schema(MeasuredDetail))] = {}

    @field_validator("samples")
    @classmethod
    def _finite(cls, samples: tuple[float, ...]) -> tuple[float, ...]:
        # Passes in C, since a folder of records holds millions of samples; the sum tells of NaN, which min and max may pass over.
        is_possible = -MOST <= samples[0] <= MOST if len(samples) == 1 else math.isfinite(sum(samples)) and min(samples) >= -MOST and max(samples) <= MOST
        if not is_possible:
            raise ValueError(f"a sample is not finite, or not within {-MOST:g} and {MOST:g}; record a Missing with the reason")
        return samples

    @model_validator(mode="after")
    def _possible(self) -> Measurement:
        if self.quantity not in _DIVISORS:
            return self
        least = min(self.samples) if self.bounds is None else min(*self.samples, self.bounds.low)
        if least < 1 / MOST:
            raise ValueError(f"a {self.quantity} of {least:g} {quantity(self.quantity).unit} is impossible")
        return self

    @property
    def value(self) -> float:
        """The median: the figure to quote."""
        return percentile(self.samples, 0.5)

    @property
    def mean(self) -> float:
        return math.fsum(self.samples) / len(self.samples)

    def mean_interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """Interval of the mean by batch means (`core.means`); that of a single value is its `bounds`. None for fewer than 10 samples."""
        if len(self.samples) == 1:
            return self.bounds
        reach = mean_reach(self.samples, confidence)
        return None if reach is None else Interval(low=self.mean - reach, high=self.mean + reach, confidence=confidence, method="batch means, Student's t")

    def percentile(self, share: float) -> float:
        return percentile(self.samples, share)

    def interval(self, share: float = 0.5, confidence: float = CONFIDENCE) -> Interval | None:
        """Interval of a percentile; None where too few samples exist (see `needed`)."""
        if self.bounds is not None and share == 0.5:
            return self.bounds
        return percentile_interval(self.samples, share, confidence)

    def needed(self, share: float = 0.5, confidence: float = CONFIDENCE) -> int:
        """Samples from which on the percentile has an interval: more where samples resemble the ones before them."""
        return math.ceil(samples_needed(share, confidence) * _dependence(self.samples, share))

    def tail_bound(self, share: float, confidence: float = TAIL_CONFIDENCE) -> float | None:
        return tail_bound(self.samples, share, confidence)


class Missing(Value):
    """A quantity that has no value, and why. `skipped`: not asked for. `unsupported`: can't be had here. `failed`: went wrong."""

    kind: Literal["missing"] = "missing"
    quantity: Known
    why: Literal["unsupported", "skipped", "failed"]
    reason: str


Outcome = Annotated[Measurement | Missing, Field(discriminator="kind")]


def percentile(samples: Sequence[float], share: float) -> float:
    """Percentile with linear interpolation between order statistics (Hyndman and Fan type 7, numpy's default)."""
    ordered = _ordered(tuple(samples))
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def percentile_interval(samples: Sequence[float], share: float, confidence: float = CONFIDENCE, *, independent: bool = False) -> Interval | None:
    """Two-sided interval of a percentile from order statistics, None where it does not exist for so few samples.

    `samples` are in the order in which they were taken: that tells how many independent ones they are worth, unless they are known to be
    `independent`, as ratios of calls in turns are in which the machine's memory cancels out.
    """
    taken = tuple(samples)
    count = len(taken)
    worth = count if independent else int(count / _dependence(taken, share))
    ranks = interval_ranks(worth, share, confidence)
    if ranks is None:
        return None
    low, high = math.floor(ranks[0] * count / worth), math.ceil(ranks[1] * count / worth)
    method = "order statistics" if worth == count else f"order statistics, {count} dependent samples worth {worth}"
    ordered = _ordered(taken)
    return Interval(low=ordered[low - 1], high=ordered[high - 1], confidence=confidence, method=method)


@functools.lru_cache(maxsize=64)
def _ordered(samples: tuple[float, ...]) -> tuple[float, ...]:
    """Sorted; several percentiles of the same samples are asked for in a row."""
    return tuple(sorted(samples))


@functools.lru_cache(maxsize=64)
def _dependence(samples: tuple[float, ...], share: float) -> float:
    return samples_per_independent(samples, _ordered(samples), share)


def samples_needed(share: float, confidence: float = CONFIDENCE) -> int:
    """The fewest samples for which a two-sided interval of the percentile exists: 6, 36, 72, 368 for p50, p90, p95, p99."""
    tail = (1 - confidence) / 2
    return math.ceil(math.log(tail) / math.log(max(share, 1 - share)))


@functools.lru_cache(maxsize=4096)
def interval_ranks(count: int, share: float, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """One-based ranks (low, high) of the order statistics that bound the percentile, at most (1 - confidence) / 2 in each tail."""
    if count < samples_needed(share, confidence):
        return None
    tail = (1 - confidence) / 2
    below = 0.0
    low = 0
    high = count
    log_share, log_rest, log_count = math.log(share), math.log1p(-share), math.lgamma(count + 1)
    first = max(0, math.floor(count * share - FAR * math.sqrt(count * share * (1 - share))))
    for successes in range(first, count + 1):
        if below <= tail:
            low = successes  # P(fewer than `successes` samples lie under the percentile) <= tail
        below += math.exp(log_count - math.lgamma(successes + 1) - math.lgamma(count - successes + 1) + successes * log_share + (count - successes) * log_rest)
        if 1 - below <= tail:
            high = successes + 1
            break
    return (low, high) if 1 <= low < high <= count else None


def tail_bound(samples: Sequence[float], share: float, confidence: float = TAIL_CONFIDENCE) -> float | None:
    """A value that the percentile exceeds with a probability of at most 1 - `confidence`, None where there are too few samples.

    The early-stopping rule of MLPerf's LoadGen: the t-th largest of n samples, t the largest for which at most t of n independent samples
    lie above the percentile with a probability of at most 1 - `confidence`; t is at least 1. Dependent samples count for what they are worth.
    """
    taken = tuple(samples)
    count, worth = len(taken), int(len(taken) / _dependence(taken, share))
    above = _allowed_above(worth, share, confidence)
    return None if above is None else _ordered(taken)[count - math.floor(above * count / worth)]


def bound_needs(share: float, confidence: float = TAIL_CONFIDENCE) -> int:
    """The fewest independent samples for which `tail_bound` exists: 64, 130 and 662 for p90, p95 and p99 at 99 %."""
    return next(count for count in itertools.count(1) if _allowed_above(count, share, confidence) is not None)


@functools.lru_cache(maxsize=4096)
def _allowed_above(count: int, share: float, confidence: float) -> int | None:
    """The largest t >= 1 with P(at most t of `count` samples lie above the percentile) <= 1 - `confidence`; None where there is none."""
    log_chance = count * math.log(share)  # of no sample above it; the chance itself would underflow for many samples
    total, log_odds = math.exp(log_chance), math.log1p(-share) - math.log(share)
    for above in range(1, count + 1):
        log_chance += math.log((count - above + 1) / above) + log_odds
        total += math.exp(log_chance)
        if total > 1 - confidence:
            return above - 1 or None
    return None
