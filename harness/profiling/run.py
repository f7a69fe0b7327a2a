"""One cell to one record."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np

import harness
from harness.core.artifact import Artifact, DataUse
from harness.core.deployment import DeploymentProfile
from harness.core.errors import DataError, HarnessError
from harness.core.measurement import Missing, Outcome
from harness.core.record import Cell, ProfileRecord
from harness.core.registry import DATASETS, PROBES
from harness.profiling.child import measure
from harness.profiling.environment import environment
from harness.profiling.isolate import run_job
from harness.profiling.job import Answer, Job
from harness.support.clock import utc_now
from harness.support.windows import padded

#: Timed calls take turns over this many batches of real tiles.
EXAMPLE_BATCHES = 4


def record_of(job: Job, artifact: Artifact, command: str = "") -> ProfileRecord:
    """Measure one cell, in its own process unless the profile says otherwise. Every quantity asked for is measured or Missing."""
    job.work.mkdir(parents=True, exist_ok=True)
    write_examples(job, artifact)
    answer = run_job(job) if job.profile.sampling.isolate else _in_this_process(job)
    return ProfileRecord(
        id=uuid.uuid4().hex,
        created=utc_now(),
        harness_version=harness.__version__,
        task=artifact.checkpoint.task,
        cell=cell_of(job, artifact),
        checkpoint=artifact.checkpoint,
        environment=environment(job.threads),
        profile=job.profile,
        profile_sha256=job.profile.sha256,
        data=_data_of(job, artifact),
        outcomes=(*answer.outcomes, *_unanswered(job.profile, answer)),
        warnings=answer.warnings,
        command=command,
        detail={"facts": answer.facts, "failed": answer.failed, "exporter": artifact.exporter, "export_parity": artifact.parity},
    )


def cell_of(job: Job, artifact: Artifact) -> Cell:
    return Cell(
        model=artifact.checkpoint.model,
        format=artifact.format,
        precision=artifact.precision,
        backend=job.backend,
        device=job.device,
        batch=job.profile.input.batch,
        tile=tile_size(job.profile, artifact),
        threads=job.threads,
        artifact_sha256=artifact.sha256,
        checkpoint_sha256=artifact.checkpoint_sha256,
    )


def _data_of(job: Job, artifact: Artifact) -> DataUse | None:
    if job.dataset is None:
        return None
    spec = DATASETS.load(job.dataset)
    return DataUse(name=spec.name, version=spec.version, gsd_m=spec.gsd_m, tile=artifact.checkpoint.dataset.tile)


def tile_size(profile: DeploymentProfile, artifact: Artifact) -> int:
    return profile.input.tile or artifact.checkpoint.input_size


def write_examples(job: Job, artifact: Artifact) -> None:
    """Write the inputs of timed calls for the child, so that reading rasters is not part of its memory: first windows of the split's tiles."""
    count = job.profile.input.batch * EXAMPLE_BATCHES
    if job.dataset is None or job.data_root is None:
        shape = (count, len(artifact.checkpoint.bands), *[tile_size(job.profile, artifact)] * 2)
        random = np.random.default_rng(0).normal(size=shape)
        mean, std = (np.reshape(values, (1, -1, 1, 1)) for values in (artifact.checkpoint.preprocessing.mean, artifact.checkpoint.preprocessing.std))
        np.save(job.inputs_file, (random * std + mean).astype(np.float32))
        return
    source = DATASETS.load(job.dataset).open(job.data_root, job.profile.split)
    usable = len(source) // job.profile.input.batch * job.profile.input.batch
    if not usable:
        raise DataError(f"the {job.profile.split} split of {job.dataset} has {len(source)} tiles, fewer than a batch of {job.profile.input.batch}")
    size = tile_size(job.profile, artifact)
    np.save(job.inputs_file, np.stack([padded(source[index].image, size)[:, :size, :size] for index in range(min(count, usable))]))


def _in_this_process(job: Job) -> Answer:
    try:
        return measure(job)
    except HarnessError as error:
        return Answer(failed=str(error))


def _unanswered(profile: DeploymentProfile, answer: Answer) -> tuple[Outcome, ...]:
    """What was asked for and has no answer, with the reason why the process ended."""
    answered = {outcome.quantity for outcome in answer.outcomes}
    wanted = [name for probe in profile.probes for name in PROBES.load(probe).quantities]
    reason = answer.failed or "the probe gave no answer"
    return tuple(Missing(quantity=name, why="failed", reason=reason) for name in dict.fromkeys(wanted) if name not in answered)


def work_folder(base: Path, backend: str, artifact: Artifact) -> Path:
    """Where a cell's job, inputs, outputs and messages lie while it is measured."""
    return base / f"{backend}-{artifact.format}-{artifact.precision}-{artifact.sha256[:8]}"
