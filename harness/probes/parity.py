"""Does the artifact decide what its checkpoint decides: agreement of classes, change of mIoU, difference of logits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.core.specs import Tile
from harness.support.confusion import confusion, drop_interval, interval_over_regions, iou_per_class, miou, named, ratio
from harness.support.layout import require_finite
from harness.support.logit_errors import LogitErrors
from harness.support.pictures import write_comparison

QUANTITIES = ("argmax_agreement", "miou_drop", "max_abs_error", "mean_abs_error", "p99_abs_error")
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
        pairs: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((2, classes, classes), np.int64))
        pixels: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2, np.int64))
        agreed: list[float] = []
        tiles: list[str] = []
        errors = LogitErrors()
        kept: list[tuple[float, int, Tile, np.ndarray, np.ndarray]] = []
        for index, (tile, logits) in enumerate(subject.predictions()):
            expected = np.load(reference / f"{index}.npy", allow_pickle=False)
            for one in (logits, expected):
                require_finite(one, tile.name)
            decided, target = logits.argmax(0), expected.argmax(0)
            same = decided == target
            agreed.append(float(same.mean()))
            pixels[tile.region] += (same.sum(), same.size)
            if agreed[-1] < 1:
                kept = sorted([*kept, (agreed[-1], index, tile, target, decided)], key=lambda entry: entry[:2])[:WORST]
            tiles.append(tile.name)
            errors.add(logits, expected)
            pairs[tile.region] += np.stack([confusion(labels, tile.mask, classes, ignore) for labels in (target, decided)])
        worst: list[dict[str, object]] = [{"tile": tiles[index], "agreement": agreed[index]} for index in np.argsort(agreed, kind="stable")[:WORST]]
        for rank, (_, index, tile, target, decided) in enumerate(kept):
            picture = self._picture(subject, f"{rank + 1}-{index}", tile, target, decided)
            if picture:
                worst[rank]["picture"] = picture
        shared = list(pixels.values())
        agreement = (float(_share(np.sum(shared, axis=0))),)
        detail = {"worst_tiles": worst, "tiles": len(tiles)}
        yield Measurement(quantity="argmax_agreement", samples=agreement, bounds=interval_over_regions(shared, _share), detail=detail)
        yield from errors.result()
        wanted, own = np.sum(list(pairs.values()), axis=0)
        if not wanted.any():
            yield Missing(quantity="miou_drop", why="failed", reason="no labeled pixel in the split")
            return
        change = named(checkpoint.classes, iou_per_class(own, ignore) - iou_per_class(wanted, ignore))
        bounds = drop_interval(list(pairs.values()), ignore)
        yield Measurement(quantity="miou_drop", samples=(miou(wanted, ignore) - miou(own, ignore),), bounds=bounds, detail={"iou_change": change})

    def _picture(self, subject: Subject, name: str, tile: Tile, target: np.ndarray, decided: np.ndarray) -> str:
        """The file's name below the record's folder of tiles, "" where pillow is not installed."""
        colors = subject.dataset.colors if subject.dataset else ()
        try:
            return write_comparison(subject.pictures / f"{name}.png", np.asarray(tile.image), np.asarray(tile.mask), target, decided, colors).name
        except ModuleNotFoundError:
            return ""


def _share(counts: np.ndarray) -> np.ndarray:
    """The first (...) of two counts (..., 2) as a share of the second."""
    return ratio(counts[..., 0].astype(np.float64), counts[..., 1])


PROBE = Parity()
