"""The stage from artifacts to records, cell by cell."""

from __future__ import annotations

import functools
import importlib.util
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.core.artifact import Artifact, DataUse, read_subject
from harness.core.deployment import DeploymentProfile
from harness.core.errors import ConfigError, MeasurementError
from harness.core.files import cannot_write, write_atomic
from harness.core.leftovers import marked, sweep
from harness.core.measurement import Missing
from harness.core.record import ProfileRecord
from harness.core.registry import DATASETS
from harness.profiling.data import bundle_facts, sha256_of_bundle
from harness.profiling.environment import available_cores, environment
from harness.profiling.isolate import run_job
from harness.profiling.job import Job
from harness.profiling.plan import BUNDLED_DATA, REFERENCE, CellPlan, home_of, job_of
from harness.profiling.run import cell_of, record_of, require_tile, used_by, work_folder
from harness.profiling.sweep import Rate, is_over, rate_of
from harness.results.store import read_records, write_record
from harness.stages.data import Progress, data_of, silent
from harness.support.bundled import REFERENCE as BUNDLED_REFERENCE
from harness.support.bundled import bundled_spec


def foreign_subject(
    path: Path,
    profile: DeploymentProfile,
    *,
    data: str | None = None,
    shape: Sequence[str] = (),
    layout: str | None = None,
    mean: str | None = None,
    std: str | None = None,
) -> tuple[Artifact, DeploymentProfile]:
    """A model's file that was not made here as an artifact, and the profile at the batch and the size that it takes.

    Raises ConfigError where the file leaves open what nothing here settles, DataError where the data set doesn't fit.
    """
    from harness.support.foreign import Wishes, foreign, shapes_from

    if layout not in (None, "NCHW", "NHWC"):
        raise ConfigError(f"a layout is NCHW or NHWC, got {layout!r}", "--layout NHWC")
    spec = DATASETS.load(data) if data else None
    wishes = Wishes(shapes_from(shape), layout, _numbers("--mean", mean), _numbers("--std", std), profile.input.tile, spec)
    found = foreign(path, wishes)
    wanted = profile.input
    _require_batch(path, found.batch, wanted.batches or (wanted.batch,) if wanted.batches or wanted.batch != 1 else ())
    size = {"batch": found.batch or wanted.batch, "batches": () if found.batch else wanted.batches, "tile": found.tile or wanted.tile}
    return found.artifact, profile.model_copy(update={"input": profile.input.model_copy(update=size)})


def _require_batch(path: Path, own: int | None, asked: Sequence[int]) -> None:
    """Raises ConfigError where the file, or `--shape`, settles the batch and others are asked for; `asked` () stands for a profile that leaves it open."""
    others = [str(batch) for batch in asked if batch != own]
    if own and others:
        raise ConfigError(f"{path.name} runs at batch {own}, asked for {', '.join(others)}", "leave --batches and the profile's input.batch out")


def _numbers(flag: str, text: str | None) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in text.split(",")) if text else ()
        if not all(map(math.isfinite, values)):
            raise ValueError
    except ValueError as error:
        raise ConfigError(f"{flag} is numbers with commas, got {text!r}", f"{flag} 123.7,116.3,103.5") from error
    if flag == "--std" and not all(values):
        raise ConfigError(f"{flag} divides, so none may be 0, got {text!r}")
    return values


def profile_cells(
    plans: Sequence[CellPlan],
    profile: DeploymentProfile,
    *,
    out: Path,
    data: str | None = None,
    root: Path | None = None,
    reuse: bool = False,
    layers: bool = False,
    bundle: Path | None = None,
    command: str = "",
    progress: Progress = silent,
) -> Iterator[tuple[Path, ProfileRecord, bool]]:
    """Profile cell by cell; each record is on disk before the next cell starts. Yields its path, the record and whether it is new.

    `reuse` keeps a record of the same cell under the same profile with the same fingerprint, unless it has no parity and now can. `layers`
    looks into each cell in a process of its own and writes what it sees beside the record. A profile with `input.batches` gives a record per batch.
    `bundle`: the folder of an opened bundle, whose tiles and reference outputs are used.
    """
    threads = profile.runtime.threads or available_cores()
    dataset, folder = _data_of_bundle(bundle, profile) if bundle else data_of(plans[0].artifact, data, root)
    for plan in plans:
        require_tile(profile, plan.artifact)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    sweep([Path(tempfile.gettempdir()), *out.glob("*/*")])
    known, fingerprint = _known_records(out) if reuse else {}, environment(threads).fingerprint
    work = Path(tempfile.mkdtemp(prefix=marked("harness-")))

    @functools.cache
    def computed(home: Path | None) -> tuple[Path | None, str]:
        """The reference's outputs where no cell of this run gives them: made for the first cell that needs them, tried once."""
        return _reference_outputs(home, profile, threads, dataset, folder, work)

    try:
        reference = _reference_in(bundle) if bundle and "parity" in profile.probes else None
        for index, plan in enumerate(plans):
            progress(index, len(plans), plan.label)
            why = _why_no_parity(plan, profile, dataset)
            gives = "parity" in profile.probes and _is_reference(plan, profile)
            rates: list[Rate | None] = []
            for batch in profile.input.batches or (profile.input.batch,):
                job = job_of(plan, profile.at_batch(batch), threads, dataset, folder, _cell_folder(work / str(index), plan, batch))
                keeps = gives and reference is None
                key = (cell_of(job, plan.artifact), profile.sha256, fingerprint, _named(used_by(job, plan.artifact)), sha256_of_bundle(bundle_facts(job)))
                can_compare = not why and bool(reference or _checkpoint_of(plan, plans))
                if key in known and not (can_compare and _lacks_parity(known[key][1])):
                    path, record, is_new = *known[key], False
                else:
                    if reference is None and not why:
                        reference, why = computed(_checkpoint_of(plan, plans))
                    job = job.model_copy(update={"reference": None if why else reference, "no_reference": why, "keep_outputs": keeps})
                    record, is_new = record_of(job, plan.artifact, command, profile), True
                    path = write_record(out, record)
                    _keep_pictures(job, path)
                if layers:
                    _write_layers(job, plan, path, record)
                yield path, record, is_new
                if keeps and job.outputs_folder.is_dir():
                    reference = job.outputs_folder
                elif job.outputs_folder != reference:
                    shutil.rmtree(job.outputs_folder, ignore_errors=True)  # a split's logits may be gigabytes
                rates.append(rate_of(record))
                if is_over(rates):
                    break
        progress(len(plans), len(plans), "done")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _cell_folder(work: Path, plan: CellPlan, batch: int) -> Path:
    return work_folder(work, plan.backend, plan.artifact) / f"batch-{batch}"


def _data_of_bundle(bundle: Path, profile: DeploymentProfile) -> tuple[str, Path]:
    """The name and the folder of a bundle's tiles. Raises ConfigError where the profile scores on another split."""
    spec, folder = bundled_spec(bundle / BUNDLED_DATA), bundle / BUNDLED_DATA
    spec.open(folder, profile.split)
    return spec.name, folder


def _reference_in(bundle: Path) -> Path:
    return bundle / BUNDLED_DATA / BUNDLED_REFERENCE


def _keep_pictures(job: Job, record: Path) -> None:
    """Move the pictures of the worst tiles beside the record."""
    if job.pictures_folder.is_dir():
        shutil.copytree(job.pictures_folder, record.with_suffix(".tiles"), dirs_exist_ok=True)


def _write_layers(job: Job, plan: CellPlan, path: Path, record: ProfileRecord) -> None:
    """Look into a cell and write what was seen beside its record; why it can't be seen is written too, and the run goes on."""
    from harness.core.layers import layers_path, write_view
    from harness.profiling.layers import view_of

    try:
        write_view(path, view_of(job, plan.artifact, record.id))
    except MeasurementError as error:
        write_atomic(layers_path(path).with_suffix(".txt"), f"no layers: {error.message}\n")


def _known_records(out: Path) -> dict[Any, tuple[Path, ProfileRecord]]:
    """The newest record of each cell in which nothing failed, one with parity before one without."""
    from harness.results.store import age, record_path

    if not out.is_dir():
        return {}
    known = sorted(read_records(out).records, key=lambda record: (not _lacks_parity(record), age(record)))
    return {
        (record.cell, record.profile_sha256, record.environment.fingerprint, *_scored_on(record)): (record_path(out, record), record)
        for record in known
        if not any(isinstance(outcome, Missing) and outcome.why == "failed" for outcome in record.outcomes)
    }


def _named(use: DataUse | None) -> tuple[str, str] | None:
    """The data set that a cell is scored on, and its version."""
    return (use.name, use.version) if use else None


def _scored_on(record: ProfileRecord) -> tuple[tuple[str, str] | None, str | None]:
    """The data set and its version, and the sha256 of the bundle that its tiles came in."""
    return _named(record.data), sha256_of_bundle(record.detail)


def _why_no_parity(plan: CellPlan, profile: DeploymentProfile, dataset: str | None) -> str:
    """Why a cell is compared with nothing, "" where it is compared with its checkpoint."""
    if "parity" not in profile.probes:
        return "not among the probes"
    if _is_reference(plan, profile):
        return "this cell is the reference that others are compared with"
    if plan.artifact.checkpoint.is_foreign:
        return "the model was not trained here, so there is no checkpoint to compare with"
    return "" if dataset else "no data set on whose tiles they could be compared"


def _is_reference(plan: CellPlan, profile: DeploymentProfile) -> bool:
    """Options may round, as tf32 does: then the reference is another run."""
    return plan.backend == REFERENCE and not profile.runtime.options


def _lacks_parity(record: ProfileRecord) -> bool:
    """Whether a run had nothing to compare with, as that of an artifact alone."""
    outcome = record.outcome("argmax_agreement")
    return isinstance(outcome, Missing) and outcome.why == "skipped"


def _checkpoint_of(plan: CellPlan, plans: Sequence[CellPlan]) -> Path | None:
    """The folder of the checkpoint that a cell is compared with."""
    return next((other.folder for other in plans if other.artifact.format == "checkpoint"), None) or home_of(plan)


def _reference_outputs(
    home: Path | None, profile: DeploymentProfile, threads: int, dataset: str | None, folder: Path | None, work: Path
) -> tuple[Path | None, str]:
    """Logits of the checkpoint in `home` on the reference backend over the same tiles, or None and why they can't be had."""
    if home is None:
        return None, "its checkpoint is not beside it: profile the checkpoint folder, which stands for its artifacts too"
    if importlib.util.find_spec("torch") is None:
        return None, "torch, which computes the reference, is not installed"
    artifact = read_subject(home)
    plain = profile.runtime.model_copy(update={"options": {}})
    only_scores = profile.model_copy(update={"probes": ("accuracy",), "runtime": plain})
    cell = CellPlan(home, artifact, REFERENCE)
    job = job_of(cell, only_scores, threads, dataset, folder, _cell_folder(work / "reference", cell, profile.input.batch))
    answer = run_job(job)
    return (job.outputs_folder, "") if job.outputs_folder.is_dir() else (None, f"the reference could not be computed: {answer.failed}")
