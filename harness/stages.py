"""The stages of the corridor: train, export, profile. Each reads one kind of file and writes the next; only this file knows them all."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import ARTIFACT_FILE, CHECKPOINT_FILE, UNKNOWN_DATA, Artifact, Checkpoint, read_artifact, read_checkpoint, read_subject
from harness.core.deployment import DeploymentProfile
from harness.core.errors import ConfigError, DataError, ExportError, MeasurementError, UnavailableError
from harness.core.files import cache_folder, cannot_write, sha256_of_file, write_atomic
from harness.core.leftovers import marked, sweep
from harness.core.measurement import Missing
from harness.core.ports import Exporter
from harness.core.record import ProfileRecord
from harness.core.registry import DATASETS, EXPORTERS
from harness.core.specs import DatasetSpec, names_of
from harness.profiling.data import bundle_facts, sha256_of_bundle
from harness.profiling.environment import available_cores, environment
from harness.profiling.isolate import run_job
from harness.profiling.job import Job
from harness.profiling.plan import BUNDLED_DATA, REFERENCE, CellPlan, home_of
from harness.profiling.run import cell_of, record_of, require_tile, work_folder, write_examples
from harness.profiling.sweep import is_over, rate_of
from harness.results.store import read_records, write_record
from harness.support.bundled import REFERENCE as BUNDLED_REFERENCE
from harness.support.bundled import bundled_spec

if TYPE_CHECKING:
    from harness.support.export_data import Context

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
    checkpoint: Path,
    *,
    to: str,
    precision: str = "fp32",
    out: Path | None = None,
    options: Mapping[str, Any] | None = None,
    force: bool = False,
    data: str | None = None,
    root: Path | None = None,
    **judging: Any,
) -> tuple[Path, Artifact, bool]:
    """Export a checkpoint. Returns the folder, the artifact, and whether it was made now: one of equal checkpoint and settings is kept.

    It is copied where an equal export of the checkpoint lies in another folder. What is made of another format is made of that export,
    which is made first where it is not there. `data` and `root` say where the tiles to calibrate with and to judge by are; `judging` are
    the fields `val_tiles`, `min_agreement` and `progress` of `Context`.
    """
    from harness.support.export_data import CONTEXT
    from harness.support.export_places import copied, known_exports, remember

    exporter = EXPORTERS.load(to)
    _require_precision(exporter, to, precision, checkpoint)
    source, given = read_checkpoint(checkpoint), dict(options or {})
    origin, settings = checkpoint, {}
    folder = out or artifact_folder(checkpoint, to, precision)
    if force or not (folder / ARTIFACT_FILE).is_file():
        _require_available(exporter)
    if exporter.source != "checkpoint":
        own = {name: given.pop(name) for name in list(given) if name in exporter.settings(precision, {})}
        origin, made, _ = export(checkpoint, to=exporter.source, precision=exporter.sources[precision], options=given, data=data, root=root, **judging)
        given, settings = own, {"source_sha256": made.sha256}
    settings = exporter.settings(precision, given) | settings
    context = _export_context(checkpoint, source, to, precision, settings, data=data, root=root, **judging)
    if not force and (folder / ARTIFACT_FILE).is_file():
        known = read_artifact(folder)
        wanted = {**settings, **_calibration(context, source, settings)}
        if _is_same_export(known, source, exporter.format, precision, wanted, context):
            return folder, known, False
    if folder.exists() and any(folder.iterdir()) and not (folder / ARTIFACT_FILE).is_file():
        raise ExportError(f"{folder} is not empty and holds no artifact, so it is not replaced", "choose another folder with --out")
    for place, known in () if force else known_exports(checkpoint, exporter.format, precision, apart_from=folder):
        if _is_same_export(known, source, exporter.format, precision, {**settings, **_calibration(context, source, settings)}, context):
            copied(place, folder)
            remember(checkpoint, folder)
            return folder, known, False
    _require_available(exporter)
    artifact = exporter.export(origin, precision=precision, out=folder, options={**given, CONTEXT: context})
    remember(checkpoint, folder)
    return folder, artifact, True


def _require_available(exporter: Exporter) -> None:
    reason = exporter.unavailable()
    if reason:
        raise UnavailableError(reason, "harness doctor")


def _require_precision(exporter: Exporter, to: str, precision: str, checkpoint: Path) -> None:
    if precision in exporter.unsupported:
        raise ConfigError(f"unsupported: {to} in {precision}: {exporter.unsupported[precision]}", f"harness export {checkpoint} --to {to}")
    if precision not in exporter.precisions:
        raise ConfigError(f"exporter {to} has no precision {precision!r}; it has {', '.join(exporter.precisions)}", f"harness export {checkpoint} --to {to}")


def _export_context(
    checkpoint: Path, source: Checkpoint, to: str, precision: str, settings: Mapping[str, Any], *, data: str | None, root: Path | None, **judging: Any
) -> Context | None:
    """What lies around an export; None where the data set that the model was trained on is not known here and none was named."""
    from harness.support.export_data import Context

    if data is None and source.dataset.name not in DATASETS.names():
        return None
    name, tiles = data_of(read_subject(checkpoint), data, root)
    is_there = tiles is not None and (tiles / "index.json").is_file()
    folder = artifact_folder(checkpoint, "onnx", "fp32")
    base = read_artifact(folder) if to == "onnx" and precision != "fp32" and (folder / ARTIFACT_FILE).is_file() else None
    is_base = base is not None and base.checkpoint_sha256 == source.sha256 and base.options.get("opset") == settings.get("opset")
    return Context(
        data=name or source.dataset.name,
        root=tiles if is_there or precision != "fp32" else None,
        checkpoint=checkpoint,
        fp32_graph=folder / base.file if base is not None and is_base else None,
        **judging,
    )


def _calibration(context: Context | None, source: Checkpoint, settings: Mapping[str, Any]) -> dict[str, str]:
    """The hash of the tiles that a calibration would use now, where it uses any."""
    from harness.support.export_data import read_tiles

    if context is None or "calibration_tiles" not in settings:
        return {}
    return {"calibration_sha256": read_tiles(context, source, "train", settings["calibration_tiles"]).sha256}


def _is_same_export(known: Artifact, source: Checkpoint, form: str, precision: str, settings: Mapping[str, Any], context: Context | None) -> bool:
    same_settings = all(known.options.get(name) == value for name, value in settings.items())
    least = context.min_agreement if context else None
    is_good = least is None or known.parity.get("argmax_agreement", 0.0) >= least
    return (known.checkpoint_sha256, known.format, known.precision) == (source.sha256, form, precision) and same_settings and is_good


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
    size = {"batch": found.batch or profile.input.batch, "tile": found.tile or profile.input.tile}
    return found.artifact, profile.model_copy(update={"input": profile.input.model_copy(update=size)})


def _numbers(flag: str, text: str | None) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in text.split(",")) if text else ()
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
    progress: Progress = _silent,
) -> Iterator[tuple[Path, ProfileRecord, bool]]:
    """Profile cell by cell; each record is on disk before the next cell starts. Yields its path, the record and whether it is new.

    `reuse` keeps a record of the same cell under the same profile with the same fingerprint. `layers` looks into each cell in a
    process of its own and writes what it sees beside the record. A profile with `input.batches` gives a record per batch.
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
    known = _known_records(out) if reuse else {}
    work = Path(tempfile.mkdtemp(prefix=marked("harness-")))
    try:
        reference = _reference_in(bundle) if bundle and "parity" in profile.probes else None
        why = "not among the probes" if "parity" not in profile.probes else ""
        for index, plan in enumerate(plans):
            progress(index, len(plans), plan.label)
            if "parity" in profile.probes and plan.backend == REFERENCE:
                why = "this cell is the reference that others are compared with"
            elif "parity" in profile.probes and plan.artifact.checkpoint.is_foreign:
                why = "the model was not trained here, so there is no checkpoint to compare with"
            elif "parity" in profile.probes and reference is None and dataset:
                reference, why = _reference_outputs(plans, plan, profile, threads, dataset, folder, work)
            is_reference = plan.backend == REFERENCE
            rates: list[float | None] = []
            for batch in profile.input.batches or (profile.input.batch,):
                sized = profile.model_copy(update={"input": profile.input.model_copy(update={"batch": batch})})
                job = _job(plan, sized, threads, dataset, folder, work)
                job = job.model_copy(update={"reference": None if is_reference else reference, "no_reference": why})
                key = (cell_of(job, plan.artifact), profile.sha256, environment(threads).fingerprint, dataset, sha256_of_bundle(bundle_facts(job)))
                if key in known:
                    path, record, is_new = *known[key], False
                else:
                    record, is_new = record_of(job, plan.artifact, command, profile), True
                    path = write_record(out, record)
                    _keep_pictures(job, path)
                if layers:
                    _write_layers(job, plan, path, record)
                yield path, record, is_new
                if is_reference and reference is None and job.outputs_folder.is_dir():
                    reference = job.outputs_folder
                rates.append(rate_of(record))
                if is_over(rates):
                    break
        progress(len(plans), len(plans), "done")
    finally:
        shutil.rmtree(work, ignore_errors=True)


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


def _job(plan: CellPlan, profile: DeploymentProfile, threads: int, dataset: str | None, folder: Path | None, work: Path) -> Job:
    return Job(
        folder=plan.folder,
        artifact=plan.artifact if plan.artifact.checkpoint.is_foreign else None,
        backend=plan.backend,
        device=profile.runtime.device,
        threads=threads,
        profile=profile,
        dataset=dataset,
        data_root=folder,
        work=work_folder(work, plan.backend, plan.artifact) / f"batch-{profile.input.batch}",
    )


def _known_records(out: Path) -> dict[Any, tuple[Path, ProfileRecord]]:
    from harness.results.store import record_path

    if not out.is_dir():
        return {}
    return {
        (record.cell, record.profile_sha256, record.environment.fingerprint, *_scored_on(record)): (record_path(out, record), record)
        for record in read_records(out).records
        if not any(isinstance(outcome, Missing) and outcome.why == "failed" for outcome in record.outcomes)
    }


def _scored_on(record: ProfileRecord) -> tuple[str | None, str | None]:
    """The data set, and the sha256 of the bundle that its tiles came in."""
    return record.data.name if record.data else None, sha256_of_bundle(record.detail)


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
    plain = profile.runtime.model_copy(update={"options": {}})
    only_scores = profile.model_copy(update={"probes": ("accuracy",), "runtime": plain})
    job = _job(CellPlan(home, artifact, REFERENCE), only_scores, threads, dataset, folder, work / "reference")
    job.work.mkdir(parents=True)
    write_examples(job, artifact)
    answer = run_job(job)
    return (job.outputs_folder, "") if job.outputs_folder.is_dir() else (None, f"the reference could not be computed: {answer.failed}")


def data_of(artifact: Artifact, name: str | None, root: Path | None) -> tuple[str | None, Path | None]:
    """The data set to score on and its folder; its bands and classes must be those of the checkpoint. Raises DataError.

    A model that was not trained here, or of whose training nobody named the data, has none unless one is named.
    """
    checkpoint = artifact.checkpoint
    if name is None and (checkpoint.is_foreign or checkpoint.dataset.name == UNKNOWN_DATA):
        return None, None
    spec: DatasetSpec = DATASETS.load(name or checkpoint.dataset.name)
    if names_of(spec.bands) != names_of(checkpoint.bands):
        raise DataError(
            f"{spec.name} has the bands {', '.join(names_of(spec.bands))}, the model takes {', '.join(names_of(checkpoint.bands))}", "choose --data"
        )
    if spec.classes != checkpoint.classes:
        raise DataError(f"{spec.name} has the classes {', '.join(spec.classes)}, the model {', '.join(checkpoint.classes)}", "choose --data")
    return spec.name, data_folder(spec, root, checkpoint.dataset.tile)
