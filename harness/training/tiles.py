"""The tiles of a split: checked, kept in memory where they fit, cropped and augmented for training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from harness.core.errors import DataError
from harness.core.specs import DatasetSpec, Tile, TileSource
from harness.support.seeds import generator_for

#: Splits smaller than this are read once and kept in memory.
MEMORY_BYTES = 1_000_000_000
#: The label of pixels that count for nothing, whatever the data set calls them.
IGNORED = -100


class Split:
    """The checked tiles of one split; labels that the data set ignores are IGNORED. `sha256` is of their content, "" where not in memory."""

    def __init__(self, spec: DatasetSpec, name: str, source: TileSource) -> None:
        self.spec, self.name, self._source = spec, name, source
        first = self._read(0)
        fits = len(source) * (first.image.nbytes + first.mask.nbytes) < MEMORY_BYTES
        self._kept = [first, *(self._read(index) for index in range(1, len(source)))] if fits else None
        self.sha256 = _sha256(self._kept) if self._kept else ""

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Tile:
        return self._kept[index] if self._kept else self._read(index)

    def _read(self, index: int) -> Tile:
        tile = self._source[index]
        mask = np.where(tile.mask == self.spec.ignore_index, IGNORED, tile.mask) if self.spec.ignore_index is not None else tile.mask
        _check(tile, mask, self.spec, self.name)
        return Tile(tile.name, tile.image, mask, bounds=tile.bounds, crs=tile.crs, region=tile.region)

    def class_counts(self) -> np.ndarray:
        """Labeled pixels (tiles, classes) of each tile."""
        masks = (self[index].mask for index in range(len(self)))
        return np.stack([np.bincount(mask[mask >= 0], minlength=self.spec.num_classes) for mask in masks])


def open_split(spec: DatasetSpec, root: Path, name: str) -> Split:
    """The tiles of a split. Raises DataError when it is empty or has no labeled pixel, or for a tile that does not fit the data set."""
    source = spec.open(root, name)
    if not len(source):
        raise DataError(f"{spec.name} in {root} has no tiles in its {name} split", f"harness data prepare {spec.name}")
    split = Split(spec, name, source)
    if not any((split[index].mask != IGNORED).any() for index in range(len(split))):
        raise DataError(f"{spec.name} in {root} has no labeled pixel in its {name} split", "check the masks and the data set's ignore_index")
    return split


def _check(tile: Tile, mask: np.ndarray, spec: DatasetSpec, split: str) -> None:
    where, hint = f"{spec.name}, {split} tile {tile.name}", f"harness data prepare {spec.name} --force"
    if tile.image.ndim != 3 or tile.image.shape[0] != len(spec.bands):
        raise DataError(f"{where}: the image has the shape {tile.image.shape}, {len(spec.bands)} bands are wanted", hint)
    if tile.image.shape[1:] != mask.shape:
        raise DataError(f"{where}: the image is {tile.image.shape[1:]} px, its mask {mask.shape}", hint)
    if not np.isfinite(tile.image).all():
        raise DataError(f"{where}: the image holds NaN or infinite values", hint)
    wrong = np.unique(mask[(mask != IGNORED) & ((mask < 0) | (mask >= spec.num_classes))])
    if wrong.size:
        raise DataError(f"{where}: the mask holds the labels {wrong[:5].tolist()}, the classes are 0 to {spec.num_classes - 1}", hint)


def _sha256(tiles: Sequence[Tile]) -> str:
    digest = hashlib.sha256()
    for tile in tiles:
        digest.update(tile.name.encode())
        digest.update(tile.image.tobytes())
        digest.update(tile.mask.tobytes())
    return digest.hexdigest()


class TrainingTiles(Dataset[tuple[Tensor, Tensor]]):
    """Pairs image (C, size, size), mask (size, size) of the tiles `indices`; a pair follows from seed, epoch and tile alone.

    Larger tiles are cropped at a random place, smaller ones padded at the right and bottom with the data set's mean, not labeled there.
    """

    def __init__(self, split: Split, indices: Sequence[int], *, size: int, seed: int, flips: bool, rot90: bool) -> None:
        self.split, self.indices, self.size, self.seed = split, tuple(indices), size, seed
        self._steps = [step for step, wanted in ((_flipped, flips), (_turned, rot90)) if wanted]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, number = key
        tile = self.split[self.indices[number]]
        rng = generator_for(self.seed, epoch, number)
        pair = _padded(*_cropped(tile.image, tile.mask, self.size, rng), self.size, self.split.spec.mean)
        for step in self._steps:
            pair = step(*pair, rng)
        return tensors(*pair)


class ValidationTiles(Dataset[tuple[Tensor, Tensor]]):
    """Pairs image (C, H, W), mask (H, W) of every `stride`-th tile from `start` on, whole and as they are."""

    def __init__(self, split: Split, *, start: int = 0, stride: int = 1) -> None:
        self.split, self.indices = split, range(start, len(split), stride)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        tile = self.split[self.indices[number]]
        return tensors(tile.image, tile.mask)


def tensors(image: np.ndarray, mask: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(np.ascontiguousarray(image, np.float32)), torch.from_numpy(np.ascontiguousarray(mask, np.int64))


def _cropped(image: np.ndarray, mask: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """At most (size, size), at a random place."""
    top, left = (int(rng.integers(max(0, side - size) + 1)) for side in mask.shape)
    return image[:, top : top + size, left : left + size], mask[top : top + size, left : left + size]


def _padded(image: np.ndarray, mask: np.ndarray, size: int, fill: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    height, width = mask.shape
    if (height, width) == (size, size):
        return image, mask
    large = np.broadcast_to(np.asarray(fill, np.float32)[:, None, None], (len(fill), size, size)).copy()
    large[:, :height, :width] = image
    labels = np.full((size, size), IGNORED, np.int64)
    labels[:height, :width] = mask
    return large, labels


def _flipped(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    for axis in (-2, -1):
        if rng.random() < 0.5:
            image, mask = np.flip(image, axis), np.flip(mask, axis)
    return image, mask


def _turned(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    turns = int(rng.integers(4))
    return np.rot90(image, turns, (-2, -1)), np.rot90(mask, turns, (-2, -1))
