"""One cell to one record."""

from __future__ import annotations

import json
import math
import re
import uuid
from pathlib import Path

import numpy as np
import psutil

import harness
from harness.core.artifact import Artifact, DataUse
from harness.core.deployment import DeploymentProfile
from harness.core.errors import ConfigError, HarnessError, MeasurementError
from harness.core.files import cannot_write, write_atomic
from harness.core.measurement import Missing, Outcome
from harness.core.record import Cell, ProfileRecord
from harness.core.registry import PROBES
from harness.profiling.child import measure
from harness.profiling.data import bundle_advice, bundle_facts, dataset_of
from harness.profiling.disturbance import advice_on, load_between, reading
from harness.profiling.environment import environment
from harness.profiling.isolate import run_job
from harness.profiling.job import Answer, Job
from harness.support.clock import utc_now
from harness.support.commit import code_at
from harness.support.export_settings import variant_of
from harness.support.layout import random_input
from harness.support.windows import padded

#: Timed calls take turns over this many batches of real tiles.
EXAMPLE_BATCHES = 4
#: Random inputs take no more memory than this, one batch apart.
EXAMPLE_BYTES = 2**28


def record_of(job: Job, artifact: Artifact, command: str = "", declared: DeploymentProfile | None = None) -> ProfileRecord:
    """Measure one cell, in its own process unless the profile says otherwise. Every quantity asked for is measured or Missing.

    `declared`: the profile that the record shall name, where the job's differs by the batch of a sweep.
    """
    declared = declared or job.profile
    job.work.mkdir(parents=True, exist_ok=True)
    before = reading()
    try:
        write_examples(job, artifact)
        answer = run_job(job) if job.profile.sampling.isolate else _in_this_process(job)
    except MeasurementError as error:
        answer = Answer(failed=error.message)
    here = environment(job.threads, load_between(before, reading()))
    return ProfileRecord(
        id=uuid.uuid4().hex,
        created=utc_now(),
        harness_version=harness.__version__,
        task=artifact.checkpoint.task,
        cell=cell_of(job, artifact),
        checkpoint=artifact.checkpoint,
        environment=here,
        profile=declared,
        profile_sha256=declared.sha256,
        data=used_by(job, artifact),
        outcomes=(*answer.outcomes, *_unanswered(job.profile, answer)),
        warnings=(*answer.warnings, *bundle_advice(job), *advice_on(here.load, here.cores)),
        command=command,
        detail={
            "facts": answer.facts,
            "failed": answer.failed,
            "exporter": artifact.exporter,
            "export_parity": artifact.parity,
            "code": code_at(Path.cwd()),
            **bundle_facts(job),
        },
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
        artifact_sha256=artifact.identity,
        checkpoint_sha256=artifact.checkpoint_sha256,
        shape=_shape(artifact) if artifact.checkpoint.is_foreign else "",
        variant=variant_of(artifact),
    )


def _shape(artifact: Artifact) -> str:
    return ", ".join(f"{spec.name} {'x'.join(map(str, spec.shape[1:])) or 'scalar'}" for spec in artifact.inputs)


def used_by(job: Job, artifact: Artifact) -> DataUse | None:
    """The data set whose tiles a cell is run on; None for random inputs."""
    if job.dataset is None:
        return None
    spec = dataset_of(job)
    return DataUse(name=spec.name, version=spec.version, gsd_m=spec.gsd_m, tile=artifact.checkpoint.dataset.tile)


def require_tile(profile: DeploymentProfile, artifact: Artifact) -> None:
    """Raises ConfigError where the profile wants another size than the artifact's: latency, FLOP and scores would be of different inputs."""
    made_for, wanted = artifact.checkpoint.input_size, profile.input.tile
    if wanted not in (None, made_for) and not artifact.checkpoint.is_foreign:
        raise ConfigError(
            f"profile {profile.name} asks for tiles of {wanted} px, {artifact.checkpoint.model} was trained at {made_for} px",
            f"harness train {artifact.checkpoint.model} --input-size {wanted}, or leave input.tile out",
        )


def tile_size(profile: DeploymentProfile, artifact: Artifact) -> int:
    return profile.input.tile or artifact.checkpoint.input_size


def write_examples(job: Job, artifact: Artifact) -> None:
    """Write the inputs of timed calls for the child, so that reading rasters is not part of its memory: first windows of the split's tiles.

    Raises HarnessError where the disk is full, MeasurementError where there are fewer tiles than a batch takes, or they can't fit into memory.
    """
    try:
        _write_examples(job, artifact)
    except OSError as error:
        raise cannot_write(job.work, error, "set TMPDIR to a folder with more room") from error


def _write_examples(job: Job, artifact: Artifact) -> None:
    count = job.profile.input.batch * EXAMPLE_BATCHES
    if artifact.checkpoint.is_foreign and job.dataset is None:
        _write_random(job, artifact)
        return
    size = tile_size(job.profile, artifact)
    shape = (count, len(artifact.checkpoint.bands), size, size)
    _require_room(4 * math.prod(shape) // EXAMPLE_BATCHES)
    if job.dataset is None or job.data_root is None:
        random = np.random.default_rng(0).normal(size=shape)
        mean, std = (np.reshape(values, (1, -1, 1, 1)) for values in (artifact.checkpoint.preprocessing.mean, artifact.checkpoint.preprocessing.std))
        np.save(job.inputs_file, (random * std + mean).astype(np.float32))
        return
    source = dataset_of(job).open(job.data_root, job.profile.split)
    usable = len(source) // job.profile.input.batch * job.profile.input.batch
    if not usable:
        raise MeasurementError(f"the {job.profile.split} split of {job.dataset} has {len(source)} tiles, fewer than a batch of {job.profile.input.batch}")
    images = [source[index].image for index in range(min(count, usable))]
    np.save(job.inputs_file, np.stack([padded(image, size)[:, :size, :size] for image in images]))
    write_atomic(job.sides_file, json.dumps([image.shape[1:] for image in images]) + "\n")


def _write_random(job: Job, artifact: Artifact) -> None:
    """Random values for every input of a model that was not made here."""
    sides = [[side if isinstance(side, int) else job.profile.input.batch for side in spec.shape] for spec in artifact.inputs]
    size = sum(math.prod(shape) * np.dtype(spec.dtype).itemsize for shape, spec in zip(sides, artifact.inputs, strict=True))
    _require_room(size)
    batches = max(1, min(EXAMPLE_BATCHES, EXAMPLE_BYTES // max(size, 1)))
    for index, spec in enumerate(artifact.inputs):
        values = [random_input(spec, job.profile.input.batch, seed=EXAMPLE_BATCHES * index + batch) for batch in range(batches)]
        np.save(job.foreign_inputs_file(index), np.stack(values))


def _require_room(size: int) -> None:
    """Raises MeasurementError where a batch of so many bytes can't fit into memory: sizes are what somebody's file says."""
    free = psutil.virtual_memory().available
    if size > free / 4:
        raise MeasurementError(f"one batch of inputs takes {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free")


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
    """Where a cell's job, inputs, outputs and messages lie while it is measured: in `base`, whatever somebody's artifact says of itself."""
    return base / re.sub(r"[^A-Za-z0-9_+-]", "-", f"{backend}-{artifact.format}-{artifact.precision}-{artifact.identity[:8]}")
