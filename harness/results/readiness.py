"""Is a model ready for a deployment profile? The judgment of its records by the profile's budget: READY, NOT READY or UNKNOWN."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.core.artifact import UNKNOWN_DATA
from harness.core.deployment import DeploymentProfile
from harness.core.errors import ConfigError
from harness.core.record import Advice, ProfileRecord
from harness.core.verdict import Status, Verdict, judge_limits, worst
from harness.results.baselines import baselines_of
from harness.results.flags import flags_of
from harness.results.store import age, runs_of


class Answer(StrEnum):
    READY = "READY"
    NOT_READY = "NOT READY"
    UNKNOWN = "UNKNOWN"


_ANSWERS = {Status.PASS: Answer.READY, Status.FAIL: Answer.NOT_READY, Status.UNKNOWN: Answer.UNKNOWN}


@dataclass(frozen=True)
class Judged:
    """One record with a verdict per limit. `unfit`: why it says nothing about the profile, "" where it does; `flags`: what makes it doubtful."""

    record: ProfileRecord
    verdicts: tuple[Verdict, ...]
    unfit: str = ""
    path: Path | None = None
    flags: tuple[Advice, ...] = ()

    @property
    def answer(self) -> Answer:
        return _ANSWERS[worst(verdict.status for verdict in self.verdicts)]


@dataclass(frozen=True)
class Readiness:
    """The newest record of every way to run a subject on one machine, judged by a profile; best first."""

    subject: str
    profile: DeploymentProfile
    cells: tuple[Judged, ...]

    @property
    def answer(self) -> Answer:
        """READY where one way to run the model that the profile allows meets every limit; UNKNOWN where nothing was measured."""
        return self.cells[0].answer if self.cells else Answer.UNKNOWN


def readiness(
    subject: str,
    records: Iterable[tuple[ProfileRecord, Path | None]],
    profile: DeploymentProfile,
    *,
    machine: str | None = None,
    data: str | None = None,
) -> Readiness:
    """Judge the newest record of every cell that was measured as the profile asks, or, where none was, the newest.

    `machine` and `data`: those of which records count; by default the one machine that there is, and the data that the model was trained on.
    Raises ConfigError where several machines or, for a model of unknown training, data sets could answer: the best of all would be
    no answer about any of them.
    """
    found = [(record, path) for record, path in records if machine in (None, record.environment.machine)]
    paths, runs = {record.id: path for record, path in found}, runs_of(sorted((record for record, _ in found), key=age), _way)
    judged = [_judged(_newest(own, profile, data), own, profile, data, paths) for own in runs]
    fit = [one.record for one in judged if not one.unfit]
    _require_one({record.environment.machine for record in fit}, "machines", "--machine")
    _require_one({record.data.name for record in fit if record.data}, "data sets", "--data")
    order = list(Answer)
    return Readiness(subject, profile, tuple(sorted(judged, key=lambda one: (order.index(one.answer), bool(one.unfit), one.record.cell.subject))))


def _way(record: ProfileRecord) -> Hashable:
    """A way to run a subject: records of one are runs of the same thing."""
    return record.cell, record.environment.machine, record.data.name if record.data else None


def _newest(runs: Sequence[ProfileRecord], profile: DeploymentProfile, data: str | None) -> ProfileRecord:
    return next((record for record in reversed(runs) if not unfit(record, profile, data)), runs[-1])


def _require_one(names: set[str], what: str, option: str) -> None:
    if len(names) > 1:
        raise ConfigError(f"records of several {what} answer: {', '.join(sorted(names))}", f"choose one with {option}")


def unfit(record: ProfileRecord, profile: DeploymentProfile, data: str | None = None) -> str:
    """Why a record was not measured as the profile asks; how long it was sampled does not matter, its intervals say that."""
    trained, scored = record.checkpoint.dataset.name, record.data.name if record.data else None
    judged_on = data or (trained if trained != UNKNOWN_DATA else scored)
    if scored not in (None, judged_on):
        return f"scored on {scored}, not on {judged_on}" + ("" if data else ", which it was trained on; --data chooses another")
    if record.profile_sha256 == profile.sha256:
        return ""
    cell, wanted = record.cell, profile.runtime
    pairs: Sequence[tuple[str, object, object]] = (
        ("on the device", wanted.device, cell.device),
        ("on the backend", wanted.backend, cell.backend),
        ("in the format", wanted.format, cell.format),
        ("in the precision", wanted.precision, cell.precision),
        ("with the threads", wanted.threads, cell.threads),
        ("with the batch", profile.input.batch, cell.batch),
        ("with the tile", profile.input.tile, cell.tile),
        ("with the options", wanted.options, record.profile.runtime.options),
        ("on the split", profile.split, record.profile.split),
        ("with max_tiles", profile.max_tiles, record.profile.max_tiles),
    )
    found = [f"{what} {seen}, the profile asks for {asked}" for what, asked, seen in pairs if asked != seen and (asked is not None or what == "with max_tiles")]
    return "measured " + "; ".join(found) if found else ""


def _judged(record: ProfileRecord, runs: Sequence[ProfileRecord], profile: DeploymentProfile, data: str | None, paths: Mapping[str, Path | None]) -> Judged:
    why = unfit(record, profile, data)
    verdicts = judge_limits(record, profile.budget)
    if why:
        verdicts = tuple(verdict.model_copy(update={"status": Status.UNKNOWN, "why": why}) for verdict in verdicts)
    before = runs[: runs.index(record) + 1]
    return Judged(record, verdicts, why, paths[record.id], flags_of(before, baselines_of([record])))
