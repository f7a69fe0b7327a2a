"""The judgement of a record against a budget: PASS, FAIL or UNKNOWN; not measured is UNKNOWN, never PASS."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from harness.core.deployment import Limit
from harness.core.measurement import Interval, Measurement, Missing, samples_needed
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
        return Verdict(limit=limit, status=Status.FAIL, seen=seen, interval=interval, why="the whole interval is outside the limit")
    fits = high <= limit.max if limit.max is not None else low >= (limit.min or 0.0)
    if fits:
        return Verdict(limit=limit, status=Status.PASS, seen=seen, interval=interval, why="the whole interval is within the limit")
    return Verdict(limit=limit, status=Status.UNKNOWN, seen=seen, interval=interval, why="the interval straddles the limit: measure longer")


def _statistic(limit: Limit, outcome: Measurement) -> tuple[float, Interval | None, int]:
    """Value, interval and the samples still needed (0: enough) for the limit's statistic."""
    if limit.statistic == "mean":
        return outcome.mean, None, 0
    share = int(limit.statistic[1:]) / 100
    interval = outcome.interval(share)
    exact = len(outcome.samples) == 1 and share == 0.5
    return outcome.percentile(share), interval, 0 if interval or exact else samples_needed(share)
