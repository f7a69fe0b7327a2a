"""How sure a mean is, also of samples that resemble the ones before them.

Means of batches of neighbors are nearly independent and nearly normal where the samples themselves are neither, so Student's t of
the batches' means gives the interval (nonoverlapping batch means; Schmeiser 1982, Batch Size Effects in the Analysis of Simulation
Output, Operations Research 30(3), which finds 10 to 30 batches enough however many samples there are).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

#: Batches, and the fewest samples, which then are a batch each.
BATCHES, FEWEST = 20, 10
HALVINGS = 60
#: Degrees of freedom from which on Student's distribution is taken for that of this many: t is within 0.2 % of the normal one's.
LIKE_NORMAL = 1000


def mean_reach(samples: Sequence[float], confidence: float) -> float | None:
    """Half the width of the interval of the mean of samples in the order in which they were taken; None for fewer than 10."""
    if len(samples) < FEWEST:
        return None
    count = min(BATCHES, len(samples))
    cuts = [len(samples) * number // count for number in range(count + 1)]
    means = [math.fsum(samples[begin:end]) / (end - begin) for begin, end in itertools.pairwise(cuts)]
    middle = math.fsum(means) / count
    variance = math.fsum((mean - middle) ** 2 for mean in means) / (count - 1)
    return student(count - 1, confidence) * math.sqrt(variance / count)


@functools.lru_cache(maxsize=64)
def student(freedom: int, confidence: float) -> float:
    """The t that a variable of Student's distribution stays within, either way, with a probability of `confidence`."""
    freedom = min(freedom, LIKE_NORMAL)
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _within(angle: float, freedom: int) -> float:
    """P(|t| <= sqrt(freedom) * tan(angle)), exact for whole degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    term = 1.0 if freedom % 2 == 0 else math.cos(angle)
    total = 0.0
    for place in range(2 + freedom % 2, freedom + 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (place - 1) / place
    return math.sin(angle) * total if freedom % 2 == 0 else 2 / math.pi * (angle + math.sin(angle) * total)
