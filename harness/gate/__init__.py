"""The stage `check`: is a candidate worse than a baseline, on this machine, by more than the profile allows?

In scope: measuring both, and judging with `harness.results.regression`. Out of scope: what a figure is, and how it is shown.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.core.artifact import Artifact, DataUse
from harness.core.deployment import DeploymentProfile
from harness.core.errors import ConfigError, MeasurementError
from harness.core.leftovers import marked
from harness.core.measurement import Missing
from harness.core.record import ProfileRecord
from harness.gate.bench import NO_REFERENCE, Bench, Effort
from harness.gate.judging import compare, judged_against_record, tolerances_of
from harness.profiling.data import bundle_facts, dataset_of, sha256_of_bundle
from harness.profiling.environment import available_cores, environment
from harness.profiling.job import Job
from harness.profiling.plan import CellPlan, job_of, plan_cells
from harness.profiling.run import cell_of, record_of, require_tile, used_by
from harness.results import regression
from harness.results.accepted import accepted_record
from harness.results.check_result import Checked
from harness.stages import Progress, data_of, foreign_subject, profile_cells, silent
from harness.support.clock import wall_clock

__all__ = ["Effort", "accepted_for", "check_against_artifact", "check_against_record", "check_side_by_side", "plan_like", "plans_of"]

#: Fields of a cell that say how it ran; where one differs, its figures do.
WAY = ("backend", "format", "precision", "device", "batch", "tile", "threads", "shape", "variant")


def plans_of(
    subject: Path, profile: DeploymentProfile, backends: Sequence[str] | None = None, data: str | None = None
) -> tuple[list[CellPlan], DeploymentProfile]:
    """The cells of a subject, and the profile at the size that a model's file takes."""
    foreign = None
    if subject.suffix in {".onnx", ".pt2"} and not subject.is_dir():
        foreign, profile = foreign_subject(subject, profile, data=data)
    return plan_cells(subject, profile, backends, foreign)[0], profile


def check_side_by_side(
    subject: Path, against: Path, profile: DeploymentProfile, *, backends: Sequence[str] | None = None, data: str | None = None, **given: Any
) -> list[Checked]:
    """Check each cell of a subject against the same cell of the baseline; the notes of the first name the cells of which only one side has any.

    Raises ConfigError where they have none in common, where several of the baseline are the same, or take tiles of another size.
    """
    after, profile = plans_of(subject, profile, backends, data)
    before, _ = plans_of(against, profile, backends, data)
    pairs = _matched(after, before)
    if not pairs:
        have = ", ".join(plan.label for plan in before)
        raise ConfigError(f"nothing in {against} runs as the candidate does ({after[0].label}); it has {have}", "name artifact folders of one format")
    for new, old in pairs:
        _require_same_size(new, old)
    first, *others = [check_against_artifact(new, old, profile, data=data, **given) for new, old in pairs]
    compared = [plan for pair in pairs for plan in pair]
    alone = [f"not compared: {plan.label} is in {plan.folder} alone" for plan in (*after, *before) if plan not in compared]
    return [dataclasses.replace(first, notes=(*first.notes, *alone)), *others]


def _matched(after: list[CellPlan], before: list[CellPlan]) -> list[tuple[CellPlan, CellPlan]]:
    """Candidate and baseline of the same runtime, format, precision and variant; one of each are a pair whatever they are."""
    if len(after) == len(before) == 1:
        return [(after[0], before[0])]
    found = [(new, [old for old in before if _way(old) == _way(new)]) for new in after]
    twice = next((olds for _, olds in found if len(olds) > 1), None)
    if twice:
        places = " and ".join(str(old.folder) for old in twice)
        raise ConfigError(f"the baseline has {len(twice)} of {twice[0].label}, in {places}", f"--against {twice[0].folder}")
    return [(new, old) for new, olds in found for old in olds]


def _way(plan: CellPlan) -> tuple[str, ...]:
    return plan.backend, plan.artifact.format, plan.artifact.precision, plan.variant


def _require_same_size(after: CellPlan, before: CellPlan) -> None:
    """Raises ConfigError where one call takes more pixels of one than of the other, so that latency, memory and FLOPs say nothing."""
    new, old = (plan.artifact.checkpoint.input_size for plan in (after, before))
    if new != old:
        raise ConfigError(f"{after.label} takes tiles of {new} px, the baseline in {before.folder} of {old} px", "compare models of one input size")


def check_against_artifact(
    after: CellPlan,
    before: CellPlan,
    profile: DeploymentProfile,
    *,
    effort: Effort | None = None,
    data: str | None = None,
    root: Path | None = None,
    command: str = "",
    progress: Progress = silent,
) -> Checked:
    """Measure both side by side, of several batches at the smallest. Raises MeasurementError where one of them can't be run."""
    begin = wall_clock()
    threads = profile.runtime.threads or available_cores()
    dataset, folder = data_of(after.artifact, data, root)
    for plan in (after, before):
        require_tile(profile, plan.artifact)
    first, *others = profile.input.batches or (profile.input.batch,)
    at = profile.at_batch(first)
    work = Path(tempfile.mkdtemp(prefix=marked("harness-check-")))
    try:
        jobs = [job_of(plan, at, threads, dataset, folder, work / name, no_reference=NO_REFERENCE) for plan, name in ((before, "before"), (after, "after"))]
        progress(0, 4, f"baseline: {before.label}")
        # Latency and memory are measured in turns later, so that here only the facts of the baseline are needed.
        facts = tuple(probe for probe in profile.probes if probe in {"flops", "size", "accuracy"})
        slim = jobs[0].model_copy(update={"profile": at.model_copy(update={"probes": facts})})
        old = _whole(record_of(slim, before.artifact))
        progress(1, 4, f"candidate: {after.label}")
        new = _whole(record_of(jobs[1], after.artifact, command, profile))
        progress(2, 4, "in turns")
        changes, notes = compare(Bench(jobs[0], jobs[1], effort or Effort()), old, new, profile, progress)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    notes += [f"batch {first} was compared, {', '.join(map(str, others))} not"] if others else []
    return Checked(
        subject=after.label,
        baseline=f"{before.label} in {before.folder}",
        mode="side by side",
        profile=profile.name,
        machine=new.environment.machine,
        fingerprint=new.environment.fingerprint,
        changes=tuple(changes),
        notes=tuple(notes),
        seconds=wall_clock() - begin,
        record=new,
    )


def check_against_record(
    after: CellPlan,
    old: ProfileRecord,
    profile: DeploymentProfile,
    *,
    data: str | None = None,
    root: Path | None = None,
    command: str = "",
    progress: Progress = silent,
) -> Checked:
    """Measure the candidate alone and compare with a stored record of the same machine, profile, data and way to run; else nothing is measured."""
    begin = wall_clock()
    job = _job_like(old, after, profile, data_of(after.artifact, data, root))
    here = environment(job.threads)
    tolerances = tolerances_of(profile)
    nothing = Checked(
        subject=after.label,
        baseline=f"record {old.id[:8]} of {old.created}",
        mode="against a record",
        profile=profile.name,
        machine=here.machine,
        fingerprint=here.fingerprint,
        changes=(),
    )
    reason = _not_comparable(old, here.fingerprint, profile, job, after.artifact)
    if reason:
        changes = [regression.unknown(name, one, f"not comparable: {reason}") for name, one in tolerances.items()]
        return dataclasses.replace(nothing, changes=tuple(changes))

    @functools.cache
    def taken(attempt: int) -> list[ProfileRecord]:
        """Two fresh runs: how far they lie apart is what one process can't know of itself."""
        with tempfile.TemporaryDirectory() as folder:
            out, records = Path(folder), []  # type: Path, list[ProfileRecord]
            for run in range(2):
                progress(2 * attempt + run, 4, after.label)
                found = [record for _, record, _ in profile_cells([after], profile, out=out, data=data, root=root, command=command)]
                records += [_whole(record) for record in found if record.cell.batch == old.cell.batch]
        if len(records) < 2:
            raise MeasurementError(f"{after.label}: the record is of batch {old.cell.batch}, and a run ended before it", "harness profile shows why")
        return records

    wanted = {name: one for name, one in tolerances.items() if profile.regression or not isinstance(old.outcome(name), Missing)}
    changes = [judged_against_record(name, one, old, taken) for name, one in wanted.items()]
    return dataclasses.replace(nothing, changes=tuple(changes), seconds=wall_clock() - begin, record=taken(0)[0])


def accepted_for(folder: Path, plan: CellPlan, profile: DeploymentProfile) -> ProfileRecord:
    """The accepted baseline of a cell on this machine. Raises RecordError where there is none."""
    threads = profile.runtime.threads or available_cores()
    job = job_of(plan, profile, threads, None, None, Path(), no_reference=NO_REFERENCE)
    return accepted_record(folder, environment(threads).machine, cell_of(job, plan.artifact).subject, profile.name)


def plan_like(plans: Sequence[CellPlan], old: ProfileRecord) -> CellPlan:
    """The plan of the record's runtime, format, precision and variant; the first where none is, which then doesn't compare. Raises ConfigError for several."""
    cell = old.cell
    fitting = [plan for plan in plans if _way(plan) == (cell.backend, cell.format, cell.precision, cell.variant)]
    if len(fitting) > 1:
        raise ConfigError(
            f"the record ran {cell.format} {cell.exported_as} on {cell.backend}, and {len(fitting)} artifacts would", f"harness check {fitting[-1].folder}"
        )
    return fitting[0] if fitting else plans[0]


def _job_like(old: ProfileRecord, plan: CellPlan, profile: DeploymentProfile, data: tuple[str | None, Path | None]) -> Job:
    """What the candidate would run: of a profile with several batches, the record's."""
    batch = old.cell.batch if old.cell.batch in profile.input.batches else profile.input.batch
    return job_of(plan, profile.at_batch(batch), profile.runtime.threads or available_cores(), *data, Path(), no_reference=NO_REFERENCE)


def _not_comparable(old: ProfileRecord, fingerprint: str, profile: DeploymentProfile, job: Job, artifact: Artifact) -> str:
    """Why a run of the job would not compare with the record, "" where it would."""
    if old.environment.fingerprint != fingerprint:
        return f"the record is of another machine or other versions ({old.environment.machine}, {old.environment.fingerprint[:8]}; here {fingerprint[:8]})"
    if old.profile_sha256 != profile.sha256:
        return f"the record was made under another profile ({old.profile.name}, {old.profile_sha256[:8]}; now {profile.name}, {profile.sha256[:8]})"
    cell = cell_of(job, artifact)
    differing = [(name, before, now) for name in WAY if (before := getattr(old.cell, name)) != (now := getattr(cell, name))]
    if differing:
        before, now = (", ".join(f"{one[0]} {one[side]}" for one in differing) for side in (1, 2))
        return f"the record ran with {before}, the candidate would with {now}"
    usual, sides = dataset_of(job).tile if job.dataset else None, ((old.data, old.detail), (used_by(job, artifact), bundle_facts(job)))
    was, is_now = (_tiles_of(use, usual, sha256_of_bundle(facts)) for use, facts in sides)
    return "" if was == is_now else f"the record is of {was}, the candidate would be of {is_now}"


def _tiles_of(use: DataUse | None, usual: int | None, bundle: str | None) -> str:
    """The tiles in words; `usual`: the data set's own size of a tile, in px."""
    if use is None:
        return "random numbers"
    return f"{use.name} {use.version} in tiles of {use.tile or usual} px" + (f" from bundle {bundle[:8]}" if bundle else "")


def _whole(record: ProfileRecord) -> ProfileRecord:
    """The record, unless the run failed. Raises MeasurementError with the reason."""
    failed = record.detail.get("failed")
    if failed:
        raise MeasurementError(f"{record.cell.model} on {record.cell.backend}: {failed}", "harness profile shows more")
    return record
