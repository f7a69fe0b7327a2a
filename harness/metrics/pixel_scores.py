"""Pixel accuracy and macro F1 of the whole split, with intervals over regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from harness.core.measurement import Measurement
from harness.support.confusion import confusion, f1_per_class, interval_over_regions, macro_f1, named, pixel_accuracy


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
        pixels = int(total.sum())
        if not pixels:
            return
        yield Measurement(
            quantity="pixel_accuracy", samples=(float(pixel_accuracy(total)),), bounds=interval_over_regions(regions, pixel_accuracy), detail={"pixels": pixels}
        )
        yield Measurement(
            quantity="macro_f1",
            samples=(float(macro_f1(total, self._ignore)),),
            bounds=interval_over_regions(regions, lambda matrices: macro_f1(matrices, self._ignore)),
            detail={"per_class": dict(named(self._classes, f1_per_class(total, self._ignore)))},
        )


class PixelScores:
    def start(self, classes: Sequence[str], ignore_index: int | None) -> _Accumulator:
        return _Accumulator(classes, ignore_index)


METRIC = PixelScores()
