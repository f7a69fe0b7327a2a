"""The stage before all: a data set, built once, and which of them a model is scored on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.core.artifact import UNKNOWN_DATA, Artifact
from harness.core.errors import DataError
from harness.core.files import cache_folder
from harness.core.registry import DATASETS
from harness.core.specs import DatasetSpec, names_of

Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, what: str) -> None:
    return


def data_folder(spec: DatasetSpec, root: Path | None = None, tile: int | None = None) -> Path:
    """Where a data set lies: one folder per name, version and tile size below `root` (default: the cache)."""
    suffix = f"-{tile}" if tile and tile != spec.tile else ""
    return (root or cache_folder() / "data").resolve() / f"{spec.name}-{spec.version}{suffix}"


def prepare_data(name: str, *, root: Path | None = None, tile: int | None = None, force: bool = False, progress: Progress = silent) -> tuple[Path, bool]:
    """Build a data set unless it is there. Returns its folder and whether it was built now."""
    spec: DatasetSpec = DATASETS.load(name)
    folder = data_folder(spec, root, tile)
    if (folder / "index.json").is_file() and not force:
        return folder, False
    spec.prepare(folder, progress, **({"tile": tile} if tile else {}))
    return folder, True


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
