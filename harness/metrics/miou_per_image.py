"""Mean IoU of each image, then averaged over images: the other definition in use, under its own name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from harness.core.measurement import Measurement
from harness.support.confusion import confusion, miou


class _Accumulator:
    def __init__(self, classes: Sequence[str], ignore_index: int | None) -> None:
        self._classes, self._ignore = len(classes), ignore_index
        self._values: list[float] = []

    def update(self, logits: np.ndarray, mask: np.ndarray, region: str) -> None:
        value = miou(confusion(logits.argmax(0), mask, self._classes, self._ignore))
        if not np.isnan(value):
            self._values.append(value)

    def result(self) -> Iterable[Measurement]:
        if self._values:
            yield Measurement(quantity="miou_per_image", samples=(float(np.mean(self._values)),), detail={"images": len(self._values)})


class MeanIoUPerImage:
    def start(self, classes: Sequence[str], ignore_index: int | None) -> _Accumulator:
        return _Accumulator(classes, ignore_index)


METRIC = MeanIoUPerImage()
