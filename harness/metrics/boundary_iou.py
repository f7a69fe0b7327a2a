"""Boundary IoU: how well the edges of classes are drawn, which the interior of large areas hides in mIoU.

Definition: Cheng et al. 2021 (Boundary IoU, CVPR): IoU of the pixels of a class that are within `d` of its edge, d = 2 % of the image's
diagonal, the frame of the image counting as an edge. Here counts are added over the split per class, as for mIoU, then averaged
over the classes that have such pixels. Ignored pixels make no edge and are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from harness.core.measurement import Measurement
from harness.support.confusion import interval_over_regions, mean_over_present, named, ratio

WIDTH = 0.02


class _Accumulator:
    def __init__(self, classes: Sequence[str], ignore_index: int | None) -> None:
        self._classes, self._ignore = tuple(classes), ignore_index
        self._by_region: dict[str, np.ndarray] = {}

    def update(self, logits: np.ndarray, mask: np.ndarray, region: str) -> None:
        predicted, far = logits.argmax(0), distance(mask.shape)
        ignored = np.zeros(mask.shape, bool) if self._ignore is None else mask == self._ignore
        counts = np.zeros((2, len(self._classes)), np.int64)
        present = np.union1d(predicted[~ignored], mask[~ignored])
        for index in present[present != self._ignore]:
            own, true = (boundary((labels == index) | ignored, far) & ~ignored for labels in (predicted, mask))
            counts[:, index] = (own & true).sum(), (own | true).sum()
        self._by_region[region] = self._by_region.get(region, 0) + counts

    def result(self) -> Iterable[Measurement]:
        regions = [self._by_region[name] for name in sorted(self._by_region)]
        total = np.sum(regions, axis=0)
        if not np.any(total):
            return
        value = float(_mean(total))
        per_class = dict(named(self._classes, ratio(total[0].astype(np.float64), total[1])))
        detail = {"per_class": per_class, "width": WIDTH}
        yield Measurement(quantity="boundary_iou", samples=(value,), bounds=interval_over_regions(regions, _mean), detail=detail)


def _mean(counts: np.ndarray) -> np.ndarray:
    """Mean over classes (...) of counts (..., 2, classes): intersection and union."""
    return mean_over_present(ratio(counts[..., 0, :].astype(np.float64), counts[..., 1, :]))


def distance(shape: tuple[int, ...]) -> int:
    """How far from an edge a pixel still belongs to it."""
    return max(1, round(WIDTH * math.hypot(*shape)))


def boundary(inside: np.ndarray, far: int) -> np.ndarray:
    """The pixels of `inside` (H, W) that a square erosion by `far` removes."""
    return np.asarray(inside & ~eroded(inside, far))


def eroded(inside: np.ndarray, far: int) -> np.ndarray:
    """Pixels whose square of side 2 * far + 1 lies wholly inside; outside the frame nothing is inside. By sums, so its cost is that of one pass."""
    side = 2 * far + 1
    sums = np.pad(inside, far).astype(np.int32)
    for axis in (0, 1):
        running = np.cumsum(sums, axis=axis, dtype=np.int32)
        before = np.zeros_like(np.take(running, [0], axis=axis))
        running = np.concatenate([before, running], axis=axis)
        count = inside.shape[axis]
        sums = np.take(running, range(side, side + count), axis=axis) - np.take(running, range(count), axis=axis)
    return np.asarray(sums == side * side)


class BoundaryIoU:
    def start(self, classes: Sequence[str], ignore_index: int | None) -> _Accumulator:
        return _Accumulator(classes, ignore_index)


METRIC = BoundaryIoU()
