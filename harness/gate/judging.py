"""From measurements to changes: which figures a quantity is judged by."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from harness.core.deployment import DeploymentProfile
from harness.core.errors import MeasurementError
from harness.core.measurement import Interval, Missing
from harness.core.record import ProfileRecord
from harness.core.registry import PROBES
from harness.core.tolerance import USUAL, Tolerance, tolerance_from
from harness.gate.bench import Bench, decisions_of
from harness.profiling.decisions import Decisions
from harness.results import regression
from harness.results.figure import EXACT
from harness.results.regression import Change, Round, Seen
from harness.stages import Progress

MEMORY = ("peak_host_memory", "peak_device_memory")


def tolerances_of(profile: DeploymentProfile) -> dict[str, Tolerance]:
    """The profile's tolerances, or the usual ones where it has none."""
    return {name: tolerance_from(value) for name, value in (profile.regression or USUAL).items()}


def compare(bench: Bench, old: ProfileRecord, new: ProfileRecord, profile: DeploymentProfile, progress: Progress) -> tuple[list[Change], list[str]]:
    """One change per tolerance of the profile, and what the usual tolerances name but can't be had here."""
    changes, notes = [], []  # type: list[Change], list[str]
    decisions = decisions_of(bench)
    memory = functools.cache(bench.memory)
    for name, tolerance in tolerances_of(profile).items():
        progress(3, 4, name)
        if name == "latency":
            changes.append(regression.judged_twice(functools.partial(bench.rounds, tolerance), functools.partial(_judged_rounds, tolerance)))
            continue
        reason, failure = _reason(name, old, new, decisions), _failure(name, old, new)
        if failure:
            changes.append(regression.broken(name, tolerance, failure))
        elif reason and not profile.regression:
            notes.append(f"{name} not compared: {reason}")
        elif reason:
            changes.append(regression.unknown(name, tolerance, reason))
        elif name in MEMORY:
            changes.append(regression.judged_twice(memory, functools.partial(_judged_memory, name, tolerance)))
        else:
            changes.append(regression.judged(name, tolerance, _seen(name, tolerance, old, new, decisions)))
    return changes, notes


def _reason(name: str, old: ProfileRecord, new: ProfileRecord, decisions: Decisions | str) -> str:
    """Why a quantity can't be compared, "" where it can."""
    if name in {"miou", "argmax_agreement"}:
        return decisions if isinstance(decisions, str) else ""
    sides = [new] if name in MEMORY else [old, new]
    return next((outcome.reason for side in sides if isinstance(outcome := side.outcome(name), Missing)), "")


def _failure(name: str, old: ProfileRecord, new: ProfileRecord) -> str:
    """Why the candidate has no score although it was asked for one and the baseline has it: never a thing to leave out.

    Other figures may fail for want of something here, as FLOPs of an operator without a rule do.
    """
    scored = "miou" if name == "argmax_agreement" else name
    missing = new.outcome(scored)
    if scored not in _scores():
        return ""
    return missing.reason if isinstance(missing, Missing) and missing.why == "failed" and old.measured(scored) else ""


def _seen(name: str, tolerance: Tolerance, old: ProfileRecord, new: ProfileRecord, decisions: Decisions | str) -> Seen:
    if isinstance(decisions, Decisions) and name == "argmax_agreement":
        return regression.seen_in_counts(name, 1.0, decisions.agreement, tolerance)
    if isinstance(decisions, Decisions) and name == "miou":
        return _seen_miou(decisions, tolerance)
    return _seen_apart(name, tolerance, old, [new])


def _seen_miou(found: Decisions, tolerance: Tolerance) -> Seen:
    seen = regression.seen_in_counts("miou", found.before, found.after, tolerance)
    if found.interval is None:
        return seen
    scale = 1 / found.after if tolerance.is_relative and found.after else 1.0
    low, high = found.interval.low * scale, found.interval.high * scale
    return Seen(found.before, found.after, seen.worse, low, high, 0.0, repeats=found.regions)


def _seen_apart(name: str, tolerance: Tolerance, old: ProfileRecord, runs: list[ProfileRecord]) -> Seen:
    """Two figures measured apart; several runs are pooled, and what can be told is never finer than the runs differ."""
    before, taken = old.measured(name), [one for record in runs if (one := record.measured(name))]
    if before is None or len(taken) < len(runs):
        raise MeasurementError(f"{name} was measured in one run and not in another")
    pooled = taken[0] if len(taken) == 1 else taken[0].model_copy(update={"samples": tuple(value for one in taken for value in one.samples)})
    if name in EXACT or name in _scores():
        return _seen_counted(name, before.value, pooled.value, [one.value for one in taken], tolerance)
    each: list[tuple[float, Interval | None]] = [(one.value, one.interval(0.5, 0.975)) for one in (before, pooled)]
    seen = regression.seen_in_intervals(name, each[0], each[1], tolerance)
    middles = [one.value for one in taken]
    apart = abs(regression.worsening(name, min(middles), max(middles), tolerance))
    return Seen(seen.before, seen.after, seen.worse, seen.low, seen.high, max(seen.detectable, apart), repeats=len(runs))


def _seen_counted(name: str, before: float, after: float, each: list[float], tolerance: Tolerance) -> Seen:
    """A figure that equal runs give again; where they don't, as a device that adds in another order may, it is known as far as they agree."""
    ends = [regression.worsening(name, before, value, tolerance) for value in each]
    worse = regression.worsening(name, before, after, tolerance)
    return Seen(before, after, worse, min(ends), max(ends), max(ends) - min(ends), repeats=len(each))


def judged_against_record(name: str, tolerance: Tolerance, old: ProfileRecord, taken: Callable[[int], list[ProfileRecord]]) -> Change:
    """The change between a stored record and fresh runs on the same data (`taken` gives those of attempt 0, then 1).

    What is counted, or scored on the same tiles, comes out the same again, so that it is not measured again. INCONCLUSIVE where a run
    lacks the figure or scored another number of tiles.
    """
    missing = old.outcome(name)
    if isinstance(missing, Missing):
        return regression.unknown(name, tolerance, missing.reason)
    judge = functools.partial(_judged_runs, name, tolerance, old)
    return judge(taken(0)) if name in EXACT or name in _scores() else regression.judged_twice(taken, judge)


def _judged_runs(name: str, tolerance: Tolerance, old: ProfileRecord, runs: list[ProfileRecord]) -> Change:
    failures = [_failure(name, old, record) for record in runs]
    if all(failures):
        return regression.broken(name, tolerance, failures[0])
    reason = next((one.reason for record in runs if isinstance(one := record.outcome(name), Missing)), "")
    if reason:
        return regression.unknown(name, tolerance, reason)
    if name not in _scores():
        return regression.judged(name, tolerance, _seen_apart(name, tolerance, old, runs))
    before, after = tiles_scored(old), tiles_scored(runs[0])
    if before != after:
        return regression.unknown(name, tolerance, f"not comparable: the record scored {before} tiles, this run {after}")
    change = regression.judged(name, tolerance, _seen_apart(name, tolerance, old, runs))
    return change if change.detectable else dataclasses.replace(change, why=f"{change.why}; exact on these {after} tiles, which says nothing of others")


def tiles_scored(record: ProfileRecord) -> int | None:
    """How many tiles the scores of a record are of; None where it has none."""
    scores = [one for name in sorted(_scores()) if (one := record.measured(name))]
    return next((one.detail["tiles"] for one in scores if "tiles" in one.detail), None)


def _scores() -> frozenset[str]:
    """Quantities that are computed from what the model decides on the tiles: no clock and no noise in them."""
    return frozenset(name for probe in ("accuracy", "parity") for name in PROBES.load(probe).quantities)


def _judged_rounds(tolerance: Tolerance, rounds: list[Round]) -> Change:
    seen = regression.seen_in_rounds(rounds)
    if seen is None:
        return regression.unknown("latency", tolerance, f"{len(rounds)} rounds, and an interval needs 6: give it more seconds")
    return regression.judged("latency", tolerance, seen)


def _judged_memory(name: str, tolerance: Tolerance, pairs: list[dict[str, tuple[float, float]]]) -> Change:
    found = [pair[name] for pair in pairs if name in pair]
    seen = regression.seen_in_repeats([old for old, _ in found], [new for _, new in found])
    if seen is None:
        return regression.unknown(name, tolerance, f"{len(found)} pairs of processes gave a figure, and an interval needs 6")
    return regression.judged(name, tolerance, seen)
