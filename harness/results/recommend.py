"""Which candidate to take under limits: the best choice, the runner-up, what each limit costs, or the nearest misses.

A limit is met only where the whole interval meets it, as in `harness report` (see `harness.core.verdict`); an interval that straddles
the limit, and a quantity that was not measured, is UNKNOWN and no candidate. Candidates are the rows of one group of the table, so
machines, data sets and profiles never mix. Among those that fit, the best value of the objective wins; of equal values the faster one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.core.deployment import Limit
from harness.core.record import ProfileRecord
from harness.core.verdict import Status, Verdict, judge_limits, worst
from harness.results.columns import figure_column
from harness.results.figure import Figure
from harness.results.grouping import Place
from harness.results.row import Row
from harness.results.table import Group

MISSES = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """One limit as the user gave it, on the memory of the device that the row ran on where `quantity` is "memory"."""

    text: str
    quantity: str
    statistic: str = "p50"
    max: float | None = None
    min: float | None = None

    def limit(self, record: ProfileRecord) -> Limit:
        """The limit that this record is judged by."""
        of_device = "peak_device_memory" if record.cell.device == "cuda" else "peak_host_memory"
        name = of_device if self.quantity == "memory" else self.quantity
        return Limit(quantity=name, statistic=self.statistic, max=self.max, min=self.min)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row with its verdicts in the order of the limits. `distance`: how far it must move to meet them all, as a ratio (0: it fits)."""

    row: Row
    verdicts: tuple[Verdict, ...]

    @property
    def status(self) -> Status:
        return worst(verdict.status for verdict in self.verdicts) if self.verdicts else Status.PASS

    @property
    def distance(self) -> float:
        return max((miss(verdict) for verdict in self.verdicts), default=0.0)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one limit costs: `without` is the best choice were it not there, None where the limit changes nothing.

    `gives_away`: how much better `without` is in the objective, 0 or more, None where nothing fits with the limit.
    `is_noise`: the two intervals overlap. `needs`: the limit that `without` would meet, None where it is not known.
    """

    asked: Asked
    without: Row | None = None
    gives_away: float | None = None
    is_noise: bool = False
    needs: float | None = None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer for one group. `unknown`: rows that could fit, were they measured longer or at all. `misses`: nearest first."""

    place: Place
    objective: str
    best: Row | None
    runner_up: Row | None
    is_tie: bool
    costs: tuple[Cost, ...]
    unknown: tuple[Candidate, ...]
    misses: tuple[Candidate, ...]
    fitting: int
    considered: int


def recommend(group: Group, limits: Sequence[Asked], objective: str = "miou") -> Recommendation:
    """The recommendation among the rows of a group. Raises ConfigError where the objective is no column of figures."""
    better = figure_column(objective)[1]
    rows = sorted((row for row in group.rows if isinstance(row.entries[objective], Figure)), key=lambda row: _order(row, objective, better))
    judged = [_candidate(row, limits) for row in rows]
    fitting = [candidate.row for candidate in judged if candidate.status is Status.PASS]
    best, second = (*fitting[:2], None, None)[:2]
    others = sorted((candidate for candidate in judged if candidate.status is not Status.PASS), key=lambda candidate: candidate.distance)
    return Recommendation(
        place=group.place,
        objective=objective,
        best=best,
        runner_up=second,
        is_tie=best is not None and second is not None and within_noise(best, second, objective),
        costs=tuple(_cost(index, judged, limits, best, objective) for index in range(len(limits))),
        unknown=tuple(candidate for candidate in others if candidate.status is Status.UNKNOWN),
        misses=() if fitting else tuple(others[:MISSES]),
        fitting=len(fitting),
        considered=len(group.rows),
    )


def miss(verdict: Verdict) -> float:
    """By which factor the bad side of the interval misses its limit, as a logarithm; 0 where it meets it, infinite where nothing was seen."""
    if verdict.status is Status.PASS:
        return 0.0
    bad = bad_side(verdict)
    wanted = verdict.limit.max if verdict.limit.max is not None else verdict.limit.min
    if bad is None or wanted is None or bad <= 0 or wanted <= 0:
        return math.inf
    return abs(math.log(bad / wanted))


def bad_side(verdict: Verdict) -> float | None:
    """The end of the interval that must meet the limit; None where there is no interval to judge by."""
    if verdict.interval is not None:
        return verdict.interval.high if verdict.limit.max is not None else verdict.interval.low
    return verdict.seen if verdict.status is not Status.UNKNOWN else None


def within_noise(first: Row, second: Row, key: str) -> bool:
    """Whether the intervals of two rows overlap."""
    a, b = first.entries[key], second.entries[key]
    return isinstance(a, Figure) and isinstance(b, Figure) and a.reach[0] <= b.reach[1] and b.reach[0] <= a.reach[1]


def _order(row: Row, objective: str, better: str) -> tuple[float, float, str]:
    """Best first."""
    value, latency = row.entries[objective], row.entries["latency"]
    sign = -1 if better == "higher" else 1
    return (
        sign * value.value if isinstance(value, Figure) else math.inf,
        latency.value if isinstance(latency, Figure) else math.inf,
        row.record.id,
    )


def _candidate(row: Row, limits: Iterable[Asked]) -> Candidate:
    return Candidate(row, judge_limits(row.record, [asked.limit(row.record) for asked in limits]))


def _cost(index: int, judged: Sequence[Candidate], limits: Sequence[Asked], best: Row | None, objective: str) -> Cost:
    """`judged` is in order of the objective, so the first that meets the other limits is the best without this one."""
    free = next((candidate for candidate in judged if _meets_all_but(candidate, index)), None)
    if free is None or free.row is best:
        return Cost(limits[index])
    needs = bad_side(free.verdicts[index])
    if best is None:
        return Cost(limits[index], free.row, None, needs=needs)
    gives = abs(_value(free.row, objective) - _value(best, objective))
    return Cost(limits[index], free.row, gives, within_noise(free.row, best, objective), needs)


def _meets_all_but(candidate: Candidate, index: int) -> bool:
    return all(verdict.status is Status.PASS for place, verdict in enumerate(candidate.verdicts) if place != index)


def _value(row: Row, key: str) -> float:
    entry = row.entries[key]
    return entry.value if isinstance(entry, Figure) else math.nan
