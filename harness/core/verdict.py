"""The judgement of a record against a budget: PASS, FAIL or UNKNOWN; not measured is UNKNOWN, never PASS."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from harness.core import means
from harness.core.deployment import Limit
from harness.core.measurement import Interval, Measurement, Missing, bound_needs
from harness.core.record import ProfileRecord
from harness.core.specs import Value


class Status(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


class Verdict(Value):
    """One limit, what was seen, and the status with its reason."""

    limit: Limit
    status: Status
    seen: float | None = None
    interval: Interval | None = None
    why: str


def judge(record: ProfileRecord) -> tuple[Verdict, ...]:
    """One verdict per limit of the record's own profile."""
    return judge_limits(record, record.profile.budget)


def judge_limits(record: ProfileRecord, limits: Iterable[Limit]) -> tuple[Verdict, ...]:
    """One verdict per limit, whatever the record's own profile asks."""
    return tuple(_judge_limit(limit, record.outcome(limit.quantity)) for limit in limits)


def worst(statuses: Iterable[Status]) -> Status:
    """FAIL before UNKNOWN before PASS; nothing to judge is UNKNOWN."""
    seen = set(statuses)
    if Status.FAIL in seen:
        return Status.FAIL
    return Status.PASS if seen == {Status.PASS} else Status.UNKNOWN


def _judge_limit(limit: Limit, outcome: Measurement | Missing) -> Verdict:
    if isinstance(outcome, Missing):
        return Verdict(limit=limit, status=Status.UNKNOWN, why=f"{outcome.why}: {outcome.reason}")
    seen, interval, needed = _statistic(limit, outcome)
    if needed:
        return Verdict(limit=limit, status=Status.UNKNOWN, seen=seen, why=f"{limit.statistic} needs {needed} samples, has {len(outcome.samples)}")
    low, high = (interval.low, interval.high) if interval else (seen, seen)
    over = limit.max is not None and low > limit.max
    under = limit.min is not None and high < limit.min
    if over or under:
        return Verdict(limit=limit, status=Status.FAIL, seen=seen, interval=interval, why=f"{_what(interval)} is outside the limit")
    fits = high <= limit.max if limit.max is not None else low >= (limit.min or 0.0)
    if fits:
        return Verdict(limit=limit, status=Status.PASS, seen=seen, interval=interval, why=f"{_what(interval)} is within the limit{_stricter(limit, outcome)}")
    return Verdict(limit=limit, status=Status.UNKNOWN, seen=seen, interval=interval, why=f"the interval straddles the limit: {_remedy(outcome)}")


def _what(interval: Interval | None) -> str:
    return "the whole interval" if interval else "the figure, which has no interval,"


def _remedy(outcome: Measurement) -> str:
    """What makes the interval narrower: that of a score is about tiles, not about time."""
    return "score more tiles, of more regions" if outcome.bounds is not None else "measure longer"


def _stricter(limit: Limit, outcome: Measurement) -> str:
    """Whether a limit on a tail is also met by MLPerf's early-stopping rule, which is 99 % sure where the interval's end is 97.5 %."""
    if limit.max is None or limit.statistic not in ("p90", "p95", "p99"):
        return ""
    share = int(limit.statistic[1:]) / 100
    bound = outcome.tail_bound(share)
    if bound is None:
        return f" (MLPerf's rule, at 99 %, needs {bound_needs(share)} independent samples)"
    return ", also by MLPerf's rule at 99 %" if bound <= limit.max else ", not yet by MLPerf's rule at 99 %: measure longer"


def _statistic(limit: Limit, outcome: Measurement) -> tuple[float, Interval | None, int]:
    """Value, interval and the samples still needed (0: enough) for the limit's statistic."""
    if limit.statistic == "mean":
        interval, exact = outcome.mean_interval(), len(outcome.samples) == 1
        return outcome.mean, interval, 0 if interval or exact else means.FEWEST
    share = int(limit.statistic[1:]) / 100
    interval = outcome.interval(share)
    exact = len(outcome.samples) == 1 and share == 0.5
    return outcome.percentile(share), interval, 0 if interval or exact else outcome.needed(share)
