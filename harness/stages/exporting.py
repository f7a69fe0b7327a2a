"""The stage from a checkpoint to an artifact, made once for equal checkpoint and settings."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import ARTIFACT_FILE, Artifact, Checkpoint, read_artifact, read_checkpoint, read_subject
from harness.core.errors import CheckpointError, ConfigError, ExportError, UnavailableError
from harness.core.ports import Exporter
from harness.core.registry import DATASETS, EXPORTERS
from harness.stages.data import data_of

if TYPE_CHECKING:
    from harness.support.export_data import Context


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
    which is made first where it is not there, beside one of other settings, which stays. `data` and `root` say where the tiles to
    calibrate with and to judge by are; `judging` are the fields `val_tiles`, `min_agreement` and `progress` of `Context`.
    """
    places = [out or artifact_folder(checkpoint, to, precision)]
    return _export(checkpoint, to=to, precision=precision, places=places, options=options, force=force, data=data, root=root, **judging)


def _export(
    checkpoint: Path,
    *,
    to: str,
    precision: str,
    places: Sequence[Path],
    options: Mapping[str, Any] | None,
    force: bool,
    data: str | None,
    root: Path | None,
    **judging: Any,
) -> tuple[Path, Artifact, bool]:
    """Export into the first of `places` without another export of this very checkpoint, or else into the last."""
    from harness.support.export_data import CONTEXT
    from harness.support.export_places import copied, known_exports, remember

    exporter = EXPORTERS.load(to)
    _require_precision(exporter, to, precision, checkpoint)
    source, given = read_checkpoint(checkpoint), dict(options or {})
    origin, settings = checkpoint, {}
    if force or not any((place / ARTIFACT_FILE).is_file() for place in places):
        _require_available(exporter)
    if exporter.source != "checkpoint":
        own = {name: given.pop(name) for name in list(given) if name in exporter.settings(precision, {})}
        usual = artifact_folder(checkpoint, exporter.source, exporter.sources[precision])
        made_of: dict[str, Any] = {"to": exporter.source, "precision": exporter.sources[precision], "options": given}
        beside = [usual, usual.with_name(f"{usual.name}-for-{to}")]
        origin, made, _ = _export(checkpoint, **made_of, places=beside, force=False, data=data, root=root, **judging)
        given, settings = own, {"source_sha256": made.sha256}
    settings = exporter.settings(precision, given) | settings
    context = _export_context(checkpoint, source, to, precision, settings, data=data, root=root, **judging)
    # Reads the tiles: once, and only where there is an export to compare with.
    wanted = functools.cache(lambda: {**settings, **_tiles_behind(context, source, precision, settings)})
    there = {place: known for place in places if (known := _artifact_in(place))}
    for place, known in () if force else there.items():
        if _is_same_export(known, source, exporter.format, precision, wanted(), context):
            return place, known, False
    folder = next((place for place in places if place not in there or there[place].checkpoint_sha256 != source.sha256), places[-1])
    if folder.is_file():
        raise ExportError(f"{folder} is a file, and an artifact is a folder", "choose another folder with --out")
    if folder.exists() and any(folder.iterdir()) and not (folder / ARTIFACT_FILE).is_file():
        raise ExportError(f"{folder} is not empty and holds no artifact, so it is not replaced", "choose another folder with --out")
    for place, known in () if force else known_exports(checkpoint, exporter.format, precision, apart_from=folder):
        if _is_same_export(known, source, exporter.format, precision, wanted(), context):
            copied(place, known, folder)
            remember(checkpoint, folder)
            return folder, known, False
    _require_available(exporter)
    artifact = exporter.export(origin, precision=precision, out=folder, options={**given, CONTEXT: context})
    remember(checkpoint, folder)
    return folder, artifact, True


def _artifact_in(folder: Path) -> Artifact | None:
    """The artifact in a folder; None where there is none, or none that is whole, which is made again."""
    try:
        return read_artifact(folder) if (folder / ARTIFACT_FILE).is_file() else None
    except CheckpointError:
        return None


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
    base = _artifact_in(folder) if to == "onnx" and precision != "fp32" else None
    is_base = base is not None and base.checkpoint_sha256 == source.sha256 and base.options.get("opset") == settings.get("opset")
    return Context(
        data=name or source.dataset.name,
        root=tiles if is_there or precision != "fp32" else None,
        checkpoint=checkpoint,
        fp32_graph=folder / base.file if base is not None and is_base else None,
        **judging,
    )


def _tiles_behind(context: Context | None, source: Checkpoint, precision: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Hashes of the tiles that the bytes of an export would come from now: those to calibrate with, and those that show what must stay in fp32."""
    from harness.support.export_data import read_tiles
    from harness.support.export_settings import NO_LIMIT

    if context is None:
        return {}
    found = {}
    if "calibration_tiles" in settings:
        found["calibration_sha256"] = read_tiles(context, source, "train", settings["calibration_tiles"]).sha256
    if "max_miou_drop" in settings and (precision == "fp16" or settings["max_miou_drop"] < NO_LIMIT):
        found["val_sha256"] = read_tiles(context, source, "val", context.val_tiles).sha256
    return found


def _is_same_export(known: Artifact, source: Checkpoint, form: str, precision: str, settings: Mapping[str, Any], context: Context | None) -> bool:
    same_settings = all(known.options.get(name) == value for name, value in settings.items())
    least = context.min_agreement if context else None
    is_good = least is None or known.parity.get("argmax_agreement", 0.0) >= least
    return (known.checkpoint_sha256, known.format, known.precision) == (source.sha256, form, precision) and same_settings and is_good
