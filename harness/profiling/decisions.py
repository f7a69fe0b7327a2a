"""What two artifacts decide on the same tiles: how often they agree, and by how much the mIoU differs, with a paired interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.core.errors import MeasurementError
from harness.core.measurement import Interval
from harness.core.specs import Tile
from harness.support.confusion import confusion, drop_interval, miou
from harness.support.layout import require_finite
from harness.support.scenes import parts_of


class Decisions(NamedTuple):
    """mIoU of the baseline and the candidate, by how much the candidate's is lower, and the share of pixels on which both agree.

    The interval of the drop is over regions, both models at once: what makes a region hard is shared and cancels. None for fewer than
    3 regions with a labeled pixel.
    """

    before: float
    after: float
    drop: float
    interval: Interval | None
    agreement: float
    regions: int


def compare_decisions(tiles: Iterable[Tile], before: Path, after: Path, classes: int, ignore_index: int | None) -> Decisions:
    """Compare folders of logits `<number>.npy`, (classes, H, W) per part of a tile. Raises MeasurementError where one lacks a part or holds NaN."""
    counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((2, classes, classes), np.int64))
    agreed = total = 0
    parts = (part for tile in tiles for part in parts_of(tile))
    for number, part in enumerate(parts):
        old, new = (_decided(folder / f"{number}.npy", part.name) for folder in (before, after))
        if old.shape != new.shape:
            raise MeasurementError(f"tile {part.name}: the baseline gives a map of {old.shape}, the candidate {new.shape}", "compare models of the same input")
        counts[part.region] += np.stack([confusion(decided, part.mask, classes, ignore_index) for decided in (old, new)])
        agreed, total = agreed + int((old == new).sum()), total + old.size
    whole = sum(counts.values(), np.zeros((2, classes, classes), np.int64))
    if not whole.sum():
        raise MeasurementError("no labeled pixel in the split, so mIoU can't be compared")
    old_miou, new_miou = (miou(matrix, ignore_index) for matrix in whole)
    return Decisions(old_miou, new_miou, old_miou - new_miou, drop_interval(list(counts.values()), ignore_index), agreed / total, len(counts))


def _decided(file: Path, tile: str) -> np.ndarray:
    if not file.is_file():
        raise MeasurementError(f"{file.name} of the logits is missing: the model failed on a tile", "harness profile shows why")
    logits = np.load(file, allow_pickle=False)
    require_finite(logits, tile)
    decided: np.ndarray = logits.argmax(0)
    return decided
