"""Does the artifact decide what its checkpoint decides: agreement of classes, change of mIoU, difference of logits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.support.confusion import confusion, iou_per_class, miou, named

QUANTITIES = ("argmax_agreement", "miou_drop", "max_abs_error")
WORST = 5


class Parity:
    quantities = QUANTITIES

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        reference = subject.reference
        if reference is None:
            yield from (Missing(quantity=name, why="skipped", reason=subject.no_reference) for name in QUANTITIES)
            return
        checkpoint = subject.artifact.checkpoint
        classes, ignore = len(checkpoint.classes), checkpoint.ignore_index
        own, wanted = np.zeros((classes, classes), np.int64), np.zeros((classes, classes), np.int64)
        agreed, tiles = [], []
        largest = 0.0
        for index, (tile, logits) in enumerate(subject.predictions()):
            expected = np.load(reference / f"{index}.npy", allow_pickle=False)
            decided, target = logits.argmax(0), expected.argmax(0)
            agreed.append(float((decided == target).mean()))
            tiles.append(tile.name)
            largest = max(largest, float(np.abs(logits - expected).max()))
            own += confusion(decided, tile.mask, classes, ignore)
            wanted += confusion(target, tile.mask, classes, ignore)
        worst = [{"tile": tiles[index], "agreement": agreed[index]} for index in np.argsort(agreed, kind="stable")[:WORST]]
        yield Measurement(quantity="argmax_agreement", samples=(float(np.mean(agreed)),), detail={"worst_tiles": worst, "tiles": len(tiles)})
        yield Measurement(quantity="max_abs_error", samples=(largest,))
        if not wanted.sum():
            yield Missing(quantity="miou_drop", why="failed", reason="no labeled pixel in the split")
            return
        change = named(checkpoint.classes, iou_per_class(own) - iou_per_class(wanted))
        yield Measurement(quantity="miou_drop", samples=(miou(wanted) - miou(own),), detail={"iou_change": change})


PROBE = Parity()
