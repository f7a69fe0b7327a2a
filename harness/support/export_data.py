"""Tiles that an exporter calibrates with (train) and judges by (val): a few, spread evenly over the split, with a hash of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.core.artifact import Checkpoint
from harness.core.errors import DataError
from harness.core.registry import DATASETS
from harness.core.specs import DatasetSpec, Tile, names_of
from harness.support.windows import padded

#: Key of an exporter's options under which the stage hands over a `Context`; it is no setting, so it is not kept in the artifact.
CONTEXT = "context"


def _silent(done: int, total: int, what: str) -> None:
    return


@dataclass(frozen=True)
class Context:
    """What an export uses beside its source: where the tiles are (`root` None: there are none), and how the result is judged.

    `checkpoint` is the folder of the network to compare with, `fp32_graph` an ONNX file of it that exists already; `min_agreement`
    None: the limit of the precision. `progress` is told what a long search does: (done, total, what).
    """

    data: str
    root: Path | None
    checkpoint: Path
    fp32_graph: Path | None = None
    val_tiles: int = 32
    min_agreement: float | None = None
    progress: Callable[[int, int, str], None] = _silent


@dataclass(frozen=True)
class Tiles:
    """Images (N, C, S, S) float32 and masks (N, S, S) int64 of one split, S the model's input size, with the tiles' names."""

    images: np.ndarray
    masks: np.ndarray
    names: tuple[str, ...]
    sha256: str


def read_tiles(context: Context, checkpoint: Checkpoint, split: str, count: int) -> Tiles:
    """At most `count` tiles of a split. Raises DataError when the set is not prepared, is empty, or has other bands than the model."""
    spec: DatasetSpec = DATASETS.load(context.data)
    _require_bands(spec, checkpoint)
    if context.root is None:
        raise DataError(f"no folder of {spec.name}, whose {split} tiles are needed", f"harness data prepare {spec.name}; or --root FOLDER")
    source = spec.open(context.root, split)
    if not len(source):
        raise DataError(f"{spec.name} in {context.root} has no tiles in its {split} split", f"harness data prepare {spec.name} --force")
    chosen = [source[index] for index in spread(len(source), count)]
    images = np.stack([_window(tile.image, checkpoint) for tile in chosen])
    masks = np.stack([_mask(tile, checkpoint) for tile in chosen])
    names = tuple(tile.name for tile in chosen)
    return Tiles(images, masks, names, hash_of(images, names))


def spread(length: int, count: int) -> list[int]:
    """At most `count` indices below `length`, evenly spread from the first on."""
    kept = min(length, count)
    return [index * length // kept for index in range(kept)]


def hash_of(images: np.ndarray, names: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\n".join(names).encode())
    digest.update(str(images.shape).encode())
    digest.update(np.ascontiguousarray(images, "<f4").tobytes())
    return digest.hexdigest()


def _require_bands(spec: DatasetSpec, checkpoint: Checkpoint) -> None:
    if names_of(spec.bands) != names_of(checkpoint.bands):
        raise DataError(
            f"{spec.name} has {len(spec.bands)} bands ({', '.join(names_of(spec.bands))}), "
            f"the model takes {len(checkpoint.bands)} ({', '.join(names_of(checkpoint.bands))})",
            f"--data {checkpoint.dataset.name}",
        )


def _window(image: np.ndarray, checkpoint: Checkpoint) -> np.ndarray:
    """The first window of the model's input size. Raises DataError for another number of bands than the model's."""
    if image.shape[0] != len(checkpoint.bands):
        raise DataError(f"a tile has {image.shape[0]} bands, the model takes {len(checkpoint.bands)}", "harness data prepare NAME --force")
    size = checkpoint.input_size
    return padded(image, size)[:, :size, :size].astype(np.float32)


def _mask(tile: Tile, checkpoint: Checkpoint) -> np.ndarray:
    """The labels of that window; what was padded has the label -1."""
    size = checkpoint.input_size
    mask = np.full((size, size), -1, np.int64)
    seen = tile.mask[:size, :size]
    mask[: seen.shape[0], : seen.shape[1]] = seen
    return mask
