"""Measurements of one thing in the order of their time, and the changes of their level with their size and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from harness.core.record import ProfileRecord
from harness.results.change_points import change_points, noise_of
from harness.results.figure import EXACT, Figure
from harness.results.pareto import Better

SHORT = 8
_NORMAL_95 = 1.96
#: Standard error of a median over that of a mean, for normal noise: sqrt(pi / 2).
_MEDIAN = 1.2533


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement in base units; `commit` "" where the record does not say it, `changed`: with changes that were not committed."""

    record: str
    created: str
    commit: str
    changed: bool
    figure: Figure

    @property
    def mark(self) -> str:
        """The short commit ("+" after it: with changes), or the time."""
        return self.commit[:SHORT] + "+" * self.changed if self.commit else self.created[:16].replace("T", " ")


@dataclass(frozen=True, slots=True)
class Change:
    """A new level from the point `index` on. `ratio` None where a value is not positive; `low` to `high` is its interval of 95 %."""

    index: int
    before: float
    after: float
    ratio: float | None
    low: float | None
    high: float | None
    is_worse: bool | None

    @property
    def text(self) -> str:
        """How much, in percent or else in base units."""
        return f"{self.after - self.before:+.3g}" if self.ratio is None else f"{(self.ratio - 1) * 100:+.3g} %"


@dataclass(frozen=True, slots=True)
class Series:
    """Measurements of one thing in the order of their time. `noise`: standard deviation between neighbors, of the logarithm where `is_relative`."""

    name: str
    points: tuple[Point, ...]
    changes: tuple[Change, ...]
    noise: float
    is_relative: bool

    @property
    def levels(self) -> list[tuple[int, int, float]]:
        """(first index, index after the last, median) of each stretch between changes."""
        edges = [0, *(change.index for change in self.changes), len(self.points)]
        return [(start, end, _level(self.points[start:end])) for start, end in pairwise(edges)]


def series_from(name: str, pairs: Sequence[tuple[ProfileRecord, Figure]], quantity: str, better: Better | None) -> Series:
    """The series of records with their figures, which are in the order of their time."""
    points = tuple(_point(record, figure) for record, figure in pairs)
    is_log = all(point.figure.value > 0 for point in points)
    values = [math.log(point.figure.value) if is_log else point.figure.value for point in points]
    least = 0.0 if quantity in EXACT else _noise_within(points, is_log)
    noise, starts = noise_of(values, least), change_points(values, least)
    edges = [0, *starts, len(points)]
    changes = tuple(_change(points, edges[number : number + 3], noise if is_log else None, better) for number in range(len(starts)))
    return Series(name, points, changes, noise, is_log)


def _point(record: ProfileRecord, figure: Figure) -> Point:
    code = record.detail.get("code")
    said = code if isinstance(code, dict) else {}
    return Point(record.id, record.created, str(said.get("commit") or ""), bool(said.get("changed")), figure)


def _noise_within(points: Sequence[Point], is_log: bool) -> float:
    """The typical standard error within a run: the noise between runs is no smaller, however few runs happen to agree.

    An interval over regions is about other tiles, and these are the same in every run, so it is no noise between runs.
    """
    figures = [point.figure for point in points if not point.figure.method.startswith(("bootstrap", "jackknife"))]
    ends = [(figure.low, figure.high) for figure in figures if figure.low is not None and figure.high is not None]
    halves = [(math.log(high / low) if is_log else high - low) / 2 for low, high in ends if low > 0 or not is_log]
    return median(halves) / _NORMAL_95 if halves else 0.0


def _change(points: Sequence[Point], edges: Sequence[int], noise: float | None, better: Better | None) -> Change:
    start, middle, end = edges
    before, after = _level(points[start:middle]), _level(points[middle:end])
    is_worse = None if better is None else (after > before) == (better == "lower")
    if noise is None:
        return Change(middle, before, after, None, None, None, is_worse)
    half = _NORMAL_95 * _MEDIAN * noise * math.sqrt(1 / (middle - start) + 1 / (end - middle))
    ratio = after / before
    return Change(middle, before, after, ratio, ratio * math.exp(-half), ratio * math.exp(half), is_worse)


def _level(points: Sequence[Point]) -> float:
    return median(point.figure.value for point in points)
