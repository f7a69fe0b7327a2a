"""Pixel accuracy and macro F1 of the whole split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from harness.core.measurement import Measurement
from harness.support.confusion import confusion, f1_per_class, mean_over_present, named


class _Accumulator:
    def __init__(self, classes: Sequence[str], ignore_index: int | None) -> None:
        self._classes, self._ignore = tuple(classes), ignore_index
        self._total = np.zeros((len(classes), len(classes)), np.int64)

    def update(self, logits: np.ndarray, mask: np.ndarray, region: str) -> None:
        self._total += confusion(logits.argmax(0), mask, len(self._classes), self._ignore)

    def result(self) -> Iterable[Measurement]:
        pixels = int(self._total.sum())
        if not pixels:
            return
        yield Measurement(quantity="pixel_accuracy", samples=(float(np.trace(self._total) / pixels),), detail={"pixels": pixels})
        f1 = f1_per_class(self._total)
        yield Measurement(quantity="macro_f1", samples=(float(mean_over_present(f1)),), detail={"per_class": dict(named(self._classes, f1))})


class PixelScores:
    def start(self, classes: Sequence[str], ignore_index: int | None) -> _Accumulator:
        return _Accumulator(classes, ignore_index)


METRIC = PixelScores()
