"""Did it become worse? Changes with intervals, and their judgment against tolerances: PASS, FAIL or INCONCLUSIVE.

A change counts toward worse: +0.05 of a latency is 5 % slower, +0.005 of an mIoU is half a point less. Latency comes as rounds in
which the baseline, the baseline once more (its twin) and the candidate were timed in turns; the statistic is the median over rounds
of the paired log ratio (Kalibera and Jones, Rigorous benchmarking in reasonable time, ISMM 2013: the ratio of means with an effect
size and an interval instead of a significance test). Its interval inverts the sign test, so it is distribution-free: order statistics
of the log ratios (David and Nagaraja, Order Statistics, 3rd ed., section 7.1), over rounds, never over calls, whose noise is shared.

The minimum detectable effect is what a check of this noise finds with 80 % power at 5 % (z 1.96 + 0.84, against a half-width of
1.96): 1.43 half-widths, of the twin's interval or the candidate's, whichever is wider, and never less than where the twin, which is
the same file, seems to differ from the baseline. A tolerance below it is refused: nothing passes by it, and only a change that is beyond both fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeVar

from harness.core.measurement import Interval, percentile, percentile_interval
from harness.core.quantity import quantity
from harness.core.tolerance import Tolerance

Taken = TypeVar("Taken")

#: (z of 95 % confidence + z of 80 % power) / z of 95 % confidence
POWER = (1.959964 + 0.841621) / 1.959964
#: Float noise of equal figures.
EQUAL = 1e-12


class Outcome(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


class Round(NamedTuple):
    """Seconds of one call in one round: of the baseline, of the same baseline opened a second time, and of the candidate."""

    baseline: float
    twin: float
    candidate: float


@dataclass(frozen=True)
class Change:
    """One compared quantity. `worse`, its interval and `detectable` are shares where the tolerance is relative, else base units.

    `detectable` 0: counted, without noise. `low`, `high` None: not known how sure it is.
    """

    quantity: str
    outcome: Outcome
    why: str
    tolerance: Tolerance
    before: float | None = None
    after: float | None = None
    worse: float | None = None
    low: float | None = None
    high: float | None = None
    detectable: float | None = None
    twin: float | None = None
    repeats: int = 0


@dataclass(frozen=True)
class Seen:
    """A change before it is judged; the fields are those of Change."""

    before: float
    after: float
    worse: float
    low: float | None
    high: float | None
    detectable: float
    twin: float | None = None
    repeats: int = 1


def joint(changes: Iterable[Change]) -> Outcome:
    """FAIL before INCONCLUSIVE before PASS; nothing compared is INCONCLUSIVE."""
    outcomes = {change.outcome for change in changes}
    if Outcome.FAIL in outcomes:
        return Outcome.FAIL
    return Outcome.PASS if outcomes == {Outcome.PASS} else Outcome.INCONCLUSIVE


def seen_in_rounds(rounds: Sequence[Round]) -> Seen | None:
    """The change of latency over rounds, None for fewer rounds than an interval needs (6)."""
    ratios = [math.log(one.candidate / one.baseline) for one in rounds]
    twins = [math.log(one.twin / one.baseline) for one in rounds]
    own, same = (percentile_interval(logs, 0.5, independent=True) if logs else None for logs in (ratios, twins))
    if own is None or same is None:
        return None
    width = max(own.high - own.low, same.high - same.low) / 2
    return Seen(
        before=percentile([one.baseline for one in rounds], 0.5),
        after=percentile([one.candidate for one in rounds], 0.5),
        worse=math.expm1(percentile(ratios, 0.5)),
        low=math.expm1(own.low),
        high=math.expm1(own.high),
        detectable=math.expm1(max(POWER * width, abs(percentile(twins, 0.5)))),
        twin=math.expm1(percentile(twins, 0.5)),
        repeats=len(rounds),
    )


def seen_in_repeats(before: Sequence[float], after: Sequence[float]) -> Seen | None:
    """The relative change of a positive figure that was taken in pairs of fresh processes; None for fewer than 6 pairs or a zero.

    What can be detected follows from how far the baseline's own repeats lie apart.
    """
    if not (before and after) or min(*before, *after) <= 0:
        return None
    ratios = [math.log(late / early) for early, late in zip(before, after, strict=False)]
    interval = percentile_interval(ratios, 0.5, independent=True)
    if interval is None:
        return None
    middle = percentile(before, 0.5)
    return Seen(
        before=middle,
        after=percentile(after, 0.5),
        worse=math.expm1(percentile(ratios, 0.5)),
        low=math.expm1(interval.low),
        high=math.expm1(interval.high),
        detectable=(max(before) - min(before)) / middle,
        repeats=len(ratios),
    )


def seen_in_counts(name: str, before: float, after: float, tolerance: Tolerance) -> Seen:
    """The change of a counted or otherwise exact figure."""
    worse = worsening(name, before, after, tolerance)
    return Seen(before, after, worse, worse, worse, 0.0)


def seen_in_intervals(name: str, before: tuple[float, Interval | None], after: tuple[float, Interval | None], tolerance: Tolerance) -> Seen:
    """The change between two figures that were measured apart: the ends of each interval against the far end of the other.

    At 97.5 % each, by Bonferroni both hold together at 95 %. What can be detected is half the width that follows.
    """
    (old, old_interval), (new, new_interval) = before, after
    worse = worsening(name, old, new, tolerance)
    if old_interval is None or new_interval is None:
        return Seen(old, new, worse, None, None, 0.0)
    ends = [worsening(name, early, late, tolerance) for early, late in ((old_interval.high, new_interval.low), (old_interval.low, new_interval.high))]
    return Seen(old, new, worse, min(ends), max(ends), POWER * (max(ends) - min(ends)) / 2)


def worsening(name: str, before: float, after: float, tolerance: Tolerance) -> float:
    """By how much `after` is worse, as a share of `before` or in base units, as the tolerance is given."""
    lower_is_better = quantity(name).better != "higher"
    if not tolerance.is_relative:
        return after - before if lower_is_better else before - after
    good, bad = (before, after) if lower_is_better else (after, before)
    if good == bad:
        return 0.0
    return bad / good - 1 if good else math.inf


def judged(name: str, tolerance: Tolerance, seen: Seen) -> Change:
    """PASS where the whole interval is within the tolerance, FAIL where it is beyond it, else INCONCLUSIVE."""
    outcome, why = _outcome(seen, tolerance.amount, tolerance.is_relative)
    fields = {field: getattr(seen, field) for field in ("before", "after", "worse", "low", "high", "detectable", "twin", "repeats")}
    return Change(name, outcome, why, tolerance, **fields)


def unknown(name: str, tolerance: Tolerance, why: str) -> Change:
    """A quantity that could not be compared."""
    return Change(name, Outcome.INCONCLUSIVE, why, tolerance)


def broken(name: str, tolerance: Tolerance, why: str) -> Change:
    """A quantity that the baseline has, and that the candidate failed to give."""
    return Change(name, Outcome.FAIL, f"the candidate failed where the baseline did not: {why}", tolerance)


def judged_twice(measure: Callable[[int], list[Taken]], judge: Callable[[list[Taken]], Change]) -> Change:
    """What is not a PASS at first is measured again (`measure` takes 0, then 1) and judged by both measurements together."""
    first = measure(0)
    change = judge(first)
    if change.outcome is Outcome.PASS:
        return change
    again = measure(1)
    return after_measuring_again(change, judge(again), judge([*first, *again]))


def after_measuring_again(first: Change, again: Change, pooled: Change) -> Change:
    """The judgment of both measurements together; a FAIL must also be seen by the second one alone, beyond the tolerance in its middle."""
    if pooled.outcome is Outcome.FAIL and (again.worse is None or again.worse <= pooled.tolerance.amount):
        fields = {**pooled.__dict__, "outcome": Outcome.INCONCLUSIVE, "why": "worse when first measured, not when measured again"}
        return Change(**fields)
    return Change(**{**pooled.__dict__, "why": f"{pooled.why}; measured twice (first {first.outcome}, again {again.outcome})"})


def _outcome(seen: Seen, allowed: float, is_relative: bool) -> tuple[Outcome, str]:
    if seen.low is None or seen.high is None:
        return _outcome_of_single(seen.worse, allowed)
    if seen.low > max(allowed, seen.detectable) + EQUAL:
        return Outcome.FAIL, "the whole interval is worse than the tolerance"
    if allowed < seen.detectable:
        least = f"{100 * seen.detectable:.2g} %" if is_relative else f"{seen.detectable:.2g}"
        return Outcome.INCONCLUSIVE, f"refused: the tolerance is below the least change that these repeats could have found, {least}"
    if seen.high <= allowed + EQUAL:
        return Outcome.PASS, "the whole interval is within the tolerance"
    return Outcome.INCONCLUSIVE, "the interval straddles the tolerance"


def _outcome_of_single(worse: float, allowed: float) -> tuple[Outcome, str]:
    """Where nothing says how sure a value is, only what is far from the tolerance, by a factor of 2, is judged."""
    if worse <= allowed / 2:
        return Outcome.PASS, "single values, less than half of the tolerance"
    if worse > 2 * allowed:
        return Outcome.FAIL, "single values, more than twice the tolerance"
    return Outcome.INCONCLUSIVE, "single values without intervals, too near to the tolerance to tell"
