"""Mean intersection over union of the whole split, with an interval from resampling regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from harness.core.measurement import Measurement
from harness.support.confusion import bootstrap_miou, confusion, iou_per_class, miou, named


class _Accumulator:
    def __init__(self, classes: Sequence[str], ignore_index: int | None) -> None:
        self._classes, self._ignore = tuple(classes), ignore_index
        self._by_region: dict[str, np.ndarray] = {}

    def update(self, logits: np.ndarray, mask: np.ndarray, region: str) -> None:
        counts = confusion(logits.argmax(0), mask, len(self._classes), self._ignore)
        self._by_region[region] = self._by_region.get(region, 0) + counts

    def result(self) -> Iterable[Measurement]:
        regions = [self._by_region[name] for name in sorted(self._by_region)]
        total = np.sum(regions, axis=0)
        if not total.sum():
            return
        detail = {"per_class": named(self._classes, iou_per_class(total)), "confusion": total.tolist(), "regions": len(regions)}
        yield Measurement(quantity="miou", samples=(miou(total),), bounds=bootstrap_miou(regions), detail=detail)


class MeanIoU:
    def start(self, classes: Sequence[str], ignore_index: int | None) -> _Accumulator:
        return _Accumulator(classes, ignore_index)


METRIC = MeanIoU()
