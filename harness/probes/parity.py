"""Does the artifact decide what its checkpoint decides: agreement of classes, change of mIoU, difference of logits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.core.specs import Tile
from harness.support.confusion import confusion, iou_per_class, miou, named
from harness.support.pictures import write_comparison

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
        agreed: list[float] = []
        tiles: list[str] = []
        largest = 0.0
        kept: list[tuple[float, int, Tile, np.ndarray, np.ndarray]] = []
        for index, (tile, logits) in enumerate(subject.predictions()):
            expected = np.load(reference / f"{index}.npy", allow_pickle=False)
            decided, target = logits.argmax(0), expected.argmax(0)
            agreed.append(float((decided == target).mean()))
            if agreed[-1] < 1:
                kept = sorted([*kept, (agreed[-1], index, tile, target, decided)], key=lambda entry: entry[:2])[:WORST]
            tiles.append(tile.name)
            largest = max(largest, float(np.abs(logits - expected).max()))
            own += confusion(decided, tile.mask, classes, ignore)
            wanted += confusion(target, tile.mask, classes, ignore)
        worst: list[dict[str, object]] = [{"tile": tiles[index], "agreement": agreed[index]} for index in np.argsort(agreed, kind="stable")[:WORST]]
        for rank, (_, index, tile, target, decided) in enumerate(kept):
            picture = self._picture(subject, f"{rank + 1}-{index}", tile, target, decided)
            if picture:
                worst[rank]["picture"] = picture
        yield Measurement(quantity="argmax_agreement", samples=(float(np.mean(agreed)),), detail={"worst_tiles": worst, "tiles": len(tiles)})
        yield Measurement(quantity="max_abs_error", samples=(largest,))
        if not wanted.sum():
            yield Missing(quantity="miou_drop", why="failed", reason="no labeled pixel in the split")
            return
        change = named(checkpoint.classes, iou_per_class(own) - iou_per_class(wanted))
        yield Measurement(quantity="miou_drop", samples=(miou(wanted) - miou(own),), detail={"iou_change": change})

    def _picture(self, subject: Subject, name: str, tile: Tile, target: np.ndarray, decided: np.ndarray) -> str:
        """The file's name below the record's folder of tiles, "" where pillow is not installed."""
        colors = subject.dataset.colors if subject.dataset else ()
        try:
            return write_comparison(subject.pictures / f"{name}.png", np.asarray(tile.image), np.asarray(tile.mask), target, decided, colors).name
        except ModuleNotFoundError:
            return ""


PROBE = Parity()
