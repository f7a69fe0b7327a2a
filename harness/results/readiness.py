"""Is a model ready for a deployment profile? The judgment of its records by the profile's budget: READY, NOT READY or UNKNOWN."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.core.deployment import DeploymentProfile
from harness.core.record import ProfileRecord
from harness.core.verdict import Status, Verdict, judge_limits, worst
from harness.results.store import latest


class Answer(StrEnum):
    READY = "READY"
    NOT_READY = "NOT READY"
    UNKNOWN = "UNKNOWN"


_ANSWERS = {Status.PASS: Answer.READY, Status.FAIL: Answer.NOT_READY, Status.UNKNOWN: Answer.UNKNOWN}


@dataclass(frozen=True)
class Judged:
    """One record with a verdict per limit. `unfit`: why it says nothing about the profile, "" where it does."""

    record: ProfileRecord
    verdicts: tuple[Verdict, ...]
    unfit: str = ""
    path: Path | None = None

    @property
    def answer(self) -> Answer:
        return _ANSWERS[worst(verdict.status for verdict in self.verdicts)]


@dataclass(frozen=True)
class Readiness:
    """Every record of a subject under a profile, best first."""

    subject: str
    profile: DeploymentProfile
    cells: tuple[Judged, ...]

    @property
    def answer(self) -> Answer:
        """READY where one way to run the model that the profile allows meets every limit; UNKNOWN where nothing was measured."""
        return self.cells[0].answer if self.cells else Answer.UNKNOWN


def readiness(subject: str, records: Iterable[tuple[ProfileRecord, Path | None]], profile: DeploymentProfile) -> Readiness:
    """Judge the newest record of every cell."""
    paths = {record.id: (record, path) for record, path in records}
    newest = latest(record for record, _ in paths.values())
    judged = [_judged(record, profile, paths[record.id][1]) for record in newest]
    order = list(Answer)
    return Readiness(subject, profile, tuple(sorted(judged, key=lambda one: (order.index(one.answer), bool(one.unfit), one.record.cell.subject))))


def unfit(record: ProfileRecord, profile: DeploymentProfile) -> str:
    """Why a record was not measured as the profile asks; how long it was sampled does not matter, its intervals say that."""
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


def _judged(record: ProfileRecord, profile: DeploymentProfile, path: Path | None) -> Judged:
    why = unfit(record, profile)
    verdicts = judge_limits(record, profile.budget)
    if why:
        verdicts = tuple(verdict.model_copy(update={"status": Status.UNKNOWN, "why": why}) for verdict in verdicts)
    return Judged(record, verdicts, why, path)
