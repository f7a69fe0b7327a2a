"""The Pareto front and ranks, both honest about noise.

Dominance: `a` dominates `b` where `a`'s value is better than or equal to `b`'s on every axis and, on at least one axis, the two
intervals don't overlap. So a row that is only a little better within its noise dominates nothing. The front is every row that no
other row dominates. The rule is not transitive, so dominated rows count as dominators too.

Ranks: rows whose intervals overlap, directly or through rows between them, share a rank; so rows of different rank are separate.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Better = Literal["lower", "higher"]


class Coordinate(NamedTuple):
    """A value inside its interval. An exact value has low = high = value, an unknown uncertainty is -inf to inf."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rank:
    """`place` counts from 1 and skips as in sports (1, 1, 3); `shared` where other rows have it too."""

    place: int
    shared: bool


Point = tuple[Coordinate, ...]


def dominates(first: Point, second: Point, better: Sequence[Better]) -> bool:
    """Whether `first` is better or equal on every axis and separate on one."""
    pairs = [(_lower(a, way), _lower(b, way)) for a, b, way in zip(first, second, better, strict=True)]
    return _dominates_low(pairs)


def front(points: Sequence[Point], better: Sequence[Better]) -> list[bool]:
    """For each point, whether no other point dominates it; two axes take n log n, more take n squared at worst."""
    low = [tuple(_lower(coordinate, way) for coordinate, way in zip(point, better, strict=True)) for point in points]
    if len(better) == 2:
        beaten_first, beaten_second = _beaten(low, 0, 1), _beaten(low, 1, 0)
        return [not (first or second) for first, second in zip(beaten_first, beaten_second, strict=True)]
    return [not any(_dominates_low(list(zip(other, point, strict=True))) for other in low) for point in low]


def ranks(coordinates: Sequence[Coordinate], better: Better) -> list[Rank | None]:
    """The rank of each; None where the uncertainty is unknown."""
    found: list[Rank | None] = [None] * len(coordinates)
    low = [_lower(coordinate, better) for coordinate in coordinates]
    known = sorted((index for index, item in enumerate(low) if math.isfinite(item.low)), key=lambda index: low[index].low)
    place = 1
    for cluster in _clusters(known, low):
        for index in cluster:
            found[index] = Rank(place, len(cluster) > 1)
        place += len(cluster)
    return found


def _lower(coordinate: Coordinate, better: Better) -> Coordinate:
    """The coordinate on an axis where lower is better."""
    return coordinate if better == "lower" else Coordinate(-coordinate.value, -coordinate.high, -coordinate.low)


def _dominates_low(pairs: Sequence[tuple[Coordinate, Coordinate]]) -> bool:
    return all(a.value <= b.value for a, b in pairs) and any(a.high < b.low for a, b in pairs)


def _beaten(points: Sequence[Point], axis: int, other: int) -> list[bool]:
    """Whether some point is separately better on `axis` and better or equal on `other`; a value lies inside its interval."""
    ordered = sorted(points, key=lambda point: point[axis].high)
    highs = [point[axis].high for point in ordered]
    best, least = [math.inf], math.inf
    for point in ordered:
        least = min(least, point[other].value)
        best.append(least)
    return [best[bisect_left(highs, point[axis].low)] <= point[other].value for point in points]


def _clusters(ordered: Sequence[int], low: Sequence[Coordinate]) -> list[list[int]]:
    """Indices sorted by their lower end, split where nothing reaches across."""
    clusters: list[list[int]] = []
    reach = -math.inf
    for index in ordered:
        if not clusters or low[index].low > reach:
            clusters.append([])
        clusters[-1].append(index)
        reach = max(reach, low[index].high)
    return clusters
