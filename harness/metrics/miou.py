"""Mean intersection over union of the whole split, with an interval over regions, and by region."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from harness.core.measurement import Measurement
from harness.support.confusion import confusion, iou_per_class, miou, miou_interval, named

#: Regions whose mIoU is kept, the worst first, so that a record's size does not grow with the split.
MOST_REGIONS = 100


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
        detail = {"per_class": named(self._classes, iou_per_class(total, self._ignore)), "confusion": total.tolist(), "regions": len(regions)}
        detail["per_region"] = dict(itertools.islice(self._by_score(), MOST_REGIONS))
        yield Measurement(quantity="miou", samples=(miou(total, self._ignore),), bounds=miou_interval(regions, self._ignore), detail=detail)

    def _by_score(self) -> Iterator[tuple[str, float]]:
        """(region, its mIoU over the classes that occur in it), the worst first; regions without a labeled pixel are left out."""
        scores = {name: miou(matrix, self._ignore) for name, matrix in self._by_region.items() if matrix.any()}
        return iter(sorted(scores.items(), key=lambda entry: (entry[1], entry[0])))


class MeanIoU:
    def start(self, classes: Sequence[str], ignore_index: int | None) -> _Accumulator:
        return _Accumulator(classes, ignore_index)


METRIC = MeanIoU()
