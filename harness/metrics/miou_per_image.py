"""Mean IoU of each image, then averaged over images: the other definition in use, under its own name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from harness.core.measurement import Measurement
from harness.support.confusion import confusion, interval_over_regions, miou


class _Accumulator:
    def __init__(self, classes: Sequence[str], ignore_index: int | None) -> None:
        self._classes, self._ignore = len(classes), ignore_index
        self._by_region: dict[str, np.ndarray] = {}

    def update(self, logits: np.ndarray, mask: np.ndarray, region: str) -> None:
        value = miou(confusion(logits.argmax(0), mask, self._classes, self._ignore), self._ignore)
        if not np.isnan(value):
            self._by_region[region] = self._by_region.get(region, np.zeros(2)) + np.array([value, 1.0])

    def result(self) -> Iterable[Measurement]:
        if not self._by_region:
            return
        regions = [self._by_region[name] for name in sorted(self._by_region)]
        total, images = np.sum(regions, axis=0)
        bounds = interval_over_regions(regions, lambda sums: sums[..., 0] / sums[..., 1])
        yield Measurement(quantity="miou_per_image", samples=(float(total / images),), bounds=bounds, detail={"images": int(images)})


class MeanIoUPerImage:
    def start(self, classes: Sequence[str], ignore_index: int | None) -> _Accumulator:
        return _Accumulator(classes, ignore_index)


METRIC = MeanIoUPerImage()
