"""Where a series of repeated measurements changed its level.

The cheapest split of the series into stretches: each stretch costs the absolute deviations from its median, in units of the noise between
neighbors, and each change costs `penalty`. The split is the exact minimum, by optimal partitioning (Jackson et al. 2005, IEEE Signal
Processing Letters 12(2); the form of Killick, Fearnhead and Eckley 2012, JASA 107, without their pruning). Absolute deviations instead of
squares, and stretches of two values or more, so that one noisy run is no change (Fearnhead and Rigaill 2019, JASA 114, on outliers). The
noise comes from the median absolute difference of neighbors, which a change of level does not enlarge; where most neighbors tie (rounded or
paged figures), from the mean one.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

#: Fewer values say nothing about the noise.
FEWEST = 6
SHORTEST = 2
#: Of normal noise: standard deviation over the median absolute difference of two draws, 1 / (sqrt(2) * 0.6745).
_DEVIATION = 1.0484
#: The same over the mean absolute difference, sqrt(pi) / 2, times 1.5, since few neighbors that differ tell little of how much they do.
_DEVIATION_OF_TIES = 1.5 * 0.8862
#: Nothing is told apart below a ten-thousandth, a page of memory in 40 MB.
_LEAST_NOISE = 1e-4


def noise_of(values: Sequence[float], least: float = 0.0) -> float:
    """Standard deviation between neighbors, robust to changes of level and single outliers; at least `least`."""
    differences = [abs(later - earlier) for earlier, later in pairwise(values)] or [0.0]
    return max(_DEVIATION * median(differences) or _DEVIATION_OF_TIES * fmean(differences), least, _LEAST_NOISE)


def penalty(count: int) -> float:
    """What a change costs, in standard deviations of noise."""
    return 2.5 * math.log(count) * (1 + 8 / count)


def change_points(values: Sequence[float], least_noise: float = 0.0) -> list[int]:
    """Indices of the first value of each new level, in order; none for fewer than FEWEST values. Takes n^2 log n."""
    count = len(values)
    if count < FEWEST:
        return []
    noise, price = noise_of(values, least_noise), penalty(count)
    best, came_from = [-price, *[math.inf] * count], [0] * (count + 1)
    stretches: list[_Deviations] = []
    for end in range(1, count + 1):
        stretches.append(_Deviations())
        for start, stretch in enumerate(stretches):
            stretch.add(values[end - 1] / noise)
            cost = best[start] + stretch.total + price
            if end - start >= SHORTEST and cost < best[end]:
                best[end], came_from[end] = cost, start
    return _starts(came_from)


def _starts(came_from: Sequence[int]) -> list[int]:
    starts, end = [], came_from[-1]
    while end:
        starts.append(end)
        end = came_from[end]
    return starts[::-1]


class _Deviations:
    """The sum of absolute deviations from the median, of values that come one by one: two heaps, the lower half negated."""

    def __init__(self) -> None:
        self._low: list[float] = []
        self._high: list[float] = []
        self._low_sum = self._high_sum = 0.0

    def add(self, value: float) -> None:
        if len(self._low) > len(self._high):
            down = -heapq.heappushpop(self._low, -value)
            heapq.heappush(self._high, down)
            self._low_sum += value - down
            self._high_sum += down
            return
        up = heapq.heappushpop(self._high, value)
        heapq.heappush(self._low, -up)
        self._high_sum += value - up
        self._low_sum += up

    @property
    def total(self) -> float:
        """With an odd count the median is the top of the lower half, which is one longer."""
        return self._high_sum - self._low_sum - self._low[0] * (len(self._low) - len(self._high))
