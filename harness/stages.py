"""The stages of the corridor: train, export, profile. Each reads one kind of file and writes the next; only this file knows them all."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.artifact import ARTIFACT_FILE, CHECKPOINT_FILE, Artifact, Checkpoint, read_artifact, read_checkpoint, read_subject
from harness.core.deployment import DeploymentProfile
from harness.core.errors import ConfigError, DataError, ExportError, UnavailableError
from harness.core.files import cache_folder, sha256_of_file
from harness.core.measurement import Missing
from harness.core.record import ProfileRecord
from harness.core.registry import DATASETS, EXPORTERS
from harness.core.specs import DatasetSpec, names_of
from harness.profiling.environment import available_cores, environment
from harness.profiling.isolate import run_job
from harness.profiling.job import Job
from harness.profiling.plan import REFERENCE, CellPlan, home_of
from harness.profiling.run import cell_of, record_of, work_folder, write_examples
from harness.results.store import read_records, write_record

Progress = Callable[[int, int, str], None]


def _silent(done: int, total: int, what: str) -> None:
    return


def data_folder(spec: DatasetSpec, root: Path | None = None, tile: int | None = None) -> Path:
    """Where a data set lies: one folder per name, version and tile size below `root` (default: the cache)."""
    suffix = f"-{tile}" if tile and tile != spec.tile else ""
    return (root or cache_folder() / "data").resolve() / f"{spec.name}-{spec.version}{suffix}"


def prepare_data(name: str, *, root: Path | None = None, tile: int | None = None, force: bool = False, progress: Progress = _silent) -> tuple[Path, bool]:
    """Build a data set unless it is there. Returns its folder and whether it was built now."""
    spec: DatasetSpec = DATASETS.load(name)
    folder = data_folder(spec, root, tile)
    if (folder / "index.json").is_file() and not force:
        return folder, False
    spec.prepare(folder, progress, **({"tile": tile} if tile else {}))
    return folder, True


def train(
    model: str,
    data: str,
    regime: str,
    *,
    out: Path | None = None,
    root: Path | None = None,
    tile: int | None = None,
    recipe: str = "default",
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    force: bool = False,
    **settings: Any,
) -> tuple[Path, Checkpoint, bool]:
    """Train a model; `settings` are those of `harness.training.run.train`.

    Returns the checkpoint folder, the checkpoint, and whether it was trained now: one of the same settings is kept.
    Raises ConfigError where the folder holds a checkpoint of other settings.
    """
    from harness.support.model import specs_of
    from harness.training.recipe import read_recipe
    from harness.training.run import train as run

    spec: DatasetSpec = DATASETS.load(data)
    specs_of(model)
    chosen = read_recipe(recipe, overrides)
    folder = out or default_run_folder(model, data, regime, seed)
    if (folder / CHECKPOINT_FILE).is_file() and not force:
        known = read_checkpoint(folder)
        asked = {"model": model, "data": f"{spec.name} {spec.version}", "regime": regime, "seed": seed, "recipe": chosen.model_dump(mode="json")}
        _require_same_training(folder, known, {**asked, "tile": tile or spec.tile, **settings})
        return folder, known, False
    run(model=model, dataset=spec, root=data_folder(spec, root, tile), regime=regime, recipe=chosen, out=folder, seed=seed, **settings)
    return folder, read_checkpoint(folder), True


def _require_same_training(folder: Path, known: Checkpoint, asked: Mapping[str, Any]) -> None:
    """Raises ConfigError naming the first setting in which the checkpoint in `folder` differs."""
    used = known.dataset
    before = {**known.model_dump(mode="json"), "data": f"{used.name} {used.version}", "tile": used.tile, "weights": known.initial_weights.get("sha256")}
    weights = asked.get("weights")
    for name, value in {**asked, "weights": sha256_of_file(weights) if weights and weights.is_file() else None}.items():
        if name in before and value is not None and before[name] != value:
            raise ConfigError(
                f"{folder} holds a checkpoint of another {name}: {before[name]}, asked for {value}", "--force trains it again; --out chooses another folder"
            )


def default_run_folder(model: str, data: str, regime: str, seed: int) -> Path:
    return Path("runs") / f"{model.replace(':', '-')}--{data}--{regime}--seed{seed}"


def artifact_folder(checkpoint: Path, form: str, precision: str) -> Path:
    """Where an export of a checkpoint goes when nothing else is said."""
    return checkpoint / "artifacts" / f"{form}-{precision}"


def export(
    checkpoint: Path, *, to: str, precision: str = "fp32", out: Path | None = None, options: Mapping[str, Any] | None = None, force: bool = False
) -> tuple[Path, Artifact, bool]:
    """Export a checkpoint. Returns the folder, the artifact, and whether it was made now: one of the same checkpoint and options is kept."""
    exporter = EXPORTERS.load(to)
    if precision not in exporter.precisions:
        raise ConfigError(f"exporter {to} has no precision {precision!r}; it has {', '.join(exporter.precisions)}", f"harness export {checkpoint} --to {to}")
    source = read_checkpoint(checkpoint)
    folder = out or artifact_folder(checkpoint, to, precision)
    if not force and (folder / ARTIFACT_FILE).is_file():
        known = read_artifact(folder)
        if _is_same_export(known, source, to, precision, options or {}):
            return folder, known, False
    reason = exporter.unavailable()
    if reason:
        raise UnavailableError(reason, "harness doctor")
    if folder.exists() and any(folder.iterdir()) and not (folder / ARTIFACT_FILE).is_file():
        raise ExportError(f"{folder} is not empty and holds no artifact, so it is not replaced", "choose another folder with --out")
    return folder, exporter.export(checkpoint, precision=precision, out=folder, options=options or {}), True


def _is_same_export(known: Artifact, source: Checkpoint, to: str, precision: str, options: Mapping[str, Any]) -> bool:
    same_options = all(known.options.get(name) == value for name, value in options.items())
    return (known.checkpoint_sha256, known.format, known.precision) == (source.sha256, to, precision) and same_options


def profile_cells(
    plans: Sequence[CellPlan],
    profile: DeploymentProfile,
    *,
    out: Path,
    data: str | None = None,
    root: Path | None = None,
    reuse: bool = False,
    command: str = "",
    progress: Progress = _silent,
) -> Iterator[tuple[Path, ProfileRecord, bool]]:
    """Profile cell by cell; each record is on disk before the next cell starts. Yields its path, the record and whether it is new.

    `reuse` keeps a record of the same cell under the same profile with the same fingerprint.
    """
    threads = profile.runtime.threads or available_cores()
    dataset, folder = _data_of(plans[0].artifact, data, root)
    known = _known_records(out) if reuse else {}
    work = Path(tempfile.mkdtemp(prefix="harness-"))
    try:
        reference: Path | None = None
        why = "not among the probes" if "parity" not in profile.probes else ""
        for index, plan in enumerate(plans):
            progress(index, len(plans), plan.label)
            job = _job(plan, profile, threads, dataset, folder, work)
            if "parity" in profile.probes and plan.backend == REFERENCE:
                why = "this cell is the reference that others are compared with"
            elif "parity" in profile.probes and reference is None and dataset:
                reference, why = _reference_outputs(plans, plan, profile, threads, dataset, folder, work)
            is_reference = plan.backend == REFERENCE
            job = job.model_copy(update={"reference": None if is_reference else reference, "no_reference": why})
            key = (cell_of(job, plan.artifact), profile.sha256, environment(threads).fingerprint)
            if key in known:
                yield *known[key], False
                continue
            record = record_of(job, plan.artifact, command)
            yield write_record(out, record), record, True
            if is_reference and job.outputs_folder.is_dir():
                reference = job.outputs_folder
        progress(len(plans), len(plans), "done")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _job(plan: CellPlan, profile: DeploymentProfile, threads: int, dataset: str | None, folder: Path | None, work: Path) -> Job:
    return Job(
        folder=plan.folder,
        backend=plan.backend,
        device=profile.runtime.device,
        threads=threads,
        profile=profile,
        dataset=dataset,
        data_root=folder,
        work=work_folder(work, plan.backend, plan.artifact),
    )


def _known_records(out: Path) -> dict[Any, tuple[Path, ProfileRecord]]:
    from harness.results.store import record_path

    if not out.is_dir():
        return {}
    return {
        (record.cell, record.profile_sha256, record.environment.fingerprint): (record_path(out, record), record)
        for record in read_records(out).records
        if not any(isinstance(outcome, Missing) and outcome.why == "failed" for outcome in record.outcomes)
    }


def _reference_outputs(
    plans: Sequence[CellPlan], plan: CellPlan, profile: DeploymentProfile, threads: int, dataset: str, folder: Path | None, work: Path
) -> tuple[Path | None, str]:
    """Logits of the checkpoint on the reference backend over the same tiles, or None and why they can't be had."""
    home = next((other.folder for other in plans if other.artifact.format == "checkpoint"), None) or home_of(plan)
    if home is None:
        return None, "its checkpoint is not beside it: profile the checkpoint folder, which stands for its artifacts too"
    if importlib.util.find_spec("torch") is None:
        return None, "torch, which computes the reference, is not installed"
    artifact = read_subject(home)
    only_scores = profile.model_copy(update={"probes": ("accuracy",)})
    job = _job(CellPlan(home, artifact, REFERENCE), only_scores, threads, dataset, folder, work / "reference")
    job.work.mkdir(parents=True)
    write_examples(job, artifact)
    answer = run_job(job)
    return (job.outputs_folder, "") if job.outputs_folder.is_dir() else (None, f"the reference could not be computed: {answer.failed}")


def _data_of(artifact: Artifact, name: str | None, root: Path | None) -> tuple[str | None, Path | None]:
    """The data set to score on and its folder; its bands and classes must be those of the checkpoint. Raises DataError."""
    checkpoint = artifact.checkpoint
    spec: DatasetSpec = DATASETS.load(name or checkpoint.dataset.name)
    if names_of(spec.bands) != names_of(checkpoint.bands):
        raise DataError(
            f"{spec.name} has the bands {', '.join(names_of(spec.bands))}, the model takes {', '.join(names_of(checkpoint.bands))}", "choose --data"
        )
    if spec.classes != checkpoint.classes:
        raise DataError(f"{spec.name} has the classes {', '.join(spec.classes)}, the model {', '.join(checkpoint.classes)}", "choose --data")
    return spec.name, data_folder(spec, root, checkpoint.dataset.tile)
