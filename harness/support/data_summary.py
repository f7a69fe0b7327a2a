"""What a prepared data set holds: class balance, band statistics, baselines' scores, and a picture of some tiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.specs import DatasetSpec, Tile, TileSource
from harness.support.confusion import confusion, miou
from harness.support.contact_sheet import Sample, write
from harness.support.tilefolder import SPLITS, FolderSource, verify_folder


@dataclass
class Tally:
    """Running counts over the tiles of a split; `low`, `high`, `total` and `squares` are per band."""

    tiles: int = 0
    pixels: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    regions: set[str] = field(default_factory=set)
    low: np.ndarray | float = np.inf
    high: np.ndarray | float = -np.inf
    total: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0

    def add(self, tile: Tile) -> None:
        values = tile.image.reshape(len(tile.image), -1).astype(np.float64)
        self.tiles += 1
        self.pixels += tile.mask.size
        self.labels.update(dict(zip(*(side.tolist() for side in np.unique(tile.mask, return_counts=True)), strict=True)))
        self.regions.add(tile.region)
        self.low, self.high = np.minimum(self.low, values.min(axis=1)), np.maximum(self.high, values.max(axis=1))
        self.total, self.squares = self.total + values.sum(axis=1), self.squares + (values**2).sum(axis=1)


def summarize(spec: DatasetSpec, root: Path) -> dict[str, Any]:
    """Per split: tiles, regions, class balance (shares of the labeled pixels), share of ignored pixels, band statistics, baselines' mIoU.

    Every tile is read and checked. Raises DataError for the first that is missing, changed or wrong, and for an empty split.
    """
    sources = _sources(spec, root)
    for source in sources.values():
        if isinstance(source, FolderSource):
            verify_folder(source.layout, root)
            break
    return {
        "dataset": spec.name,
        "version": spec.version,
        "path": str(root),
        "classes": list(spec.classes),
        "splits": {split: summarize_split(spec, source) for split, source in sources.items()},
    }


def summarize_split(spec: DatasetSpec, source: TileSource) -> dict[str, Any]:
    """The figures of one split, as in `summarize`."""
    tally, matrices = Tally(), {name: np.zeros((spec.num_classes,) * 2, np.int64) for name in spec.baselines}
    for tile in _tiles(source, range(len(source))):
        tally.add(tile)
        for name, predict in spec.baselines.items():
            matrices[name] += confusion(predict(tile.image), tile.mask, spec.num_classes, spec.ignore_index)
    return {
        "tiles": tally.tiles,
        "regions": len(tally.regions),
        "pixels": tally.pixels,
        **_balance(spec, tally),
        "bands": _bands(spec, tally),
        "baselines_miou": {name: miou(matrix, spec.ignore_index) for name, matrix in matrices.items()},
    }


def draw_contact_sheet(spec: DatasetSpec, root: Path, path: Path, *, count: int = 24) -> Path:
    """Write a PNG of about `count` tiles, spread evenly over each split, beside the same tiles with their labels. Raises DataError."""
    sources = _sources(spec, root)
    samples = [Sample(split, tile) for split, source in sources.items() for tile in _tiles(source, _spread(len(source), _share(sources, split, count)))]
    balance = {split: _balance(spec, _tally(source))["class_balance"] for split, source in sources.items()}
    return write(path, spec, samples, balance=balance)


def _sources(spec: DatasetSpec, root: Path) -> dict[str, TileSource]:
    return {split: spec.open(root, split) for split in SPLITS}


def _share(sources: dict[str, TileSource], split: str, count: int) -> int:
    """Half of the tiles from train, a quarter each from val and test; at least one."""
    wanted = count - 2 * (count // 4) if split == "train" else count // 4
    return min(len(sources[split]), max(1, wanted))


def _spread(length: int, count: int) -> list[int]:
    return [int((position + 0.5) * length / count) for position in range(count)]


def _tiles(source: TileSource, indices: Sequence[int]) -> Iterable[Tile]:
    return (source[index] for index in indices)


def _tally(source: TileSource) -> Tally:
    tally = Tally()
    for tile in _tiles(source, range(len(source))):
        tally.add(tile)
    return tally


def _balance(spec: DatasetSpec, tally: Tally) -> dict[str, Any]:
    ignored = 0 if spec.ignore_index is None else tally.labels[spec.ignore_index]
    labeled = max(1, tally.pixels - ignored)
    shares = {name: 0.0 if index == spec.ignore_index else tally.labels[index] / labeled for index, name in enumerate(spec.classes)}
    return {"class_balance": shares, "ignored": ignored / max(1, tally.pixels)}


def _bands(spec: DatasetSpec, tally: Tally) -> dict[str, dict[str, float]]:
    mean = np.asarray(tally.total) / tally.pixels
    std = np.sqrt(np.maximum(0.0, np.asarray(tally.squares) / tally.pixels - mean**2))
    rows = zip(mean, std, np.asarray(tally.low), np.asarray(tally.high), strict=True)
    return {band.name: dict(zip(("mean", "std", "min", "max"), map(float, row), strict=True)) for band, row in zip(spec.bands, rows, strict=True)}
