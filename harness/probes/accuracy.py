"""Accuracy of the very session that is timed, over a whole split of real tiles, beside predictors that need no training."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.core.registry import METRICS
from harness.support.confusion import confusion, miou
from harness.support.layout import gives_class_indices, require_finite
from harness.support.scenes import is_block

QUANTITIES = ("miou", "miou_per_image", "pixel_accuracy", "macro_f1", "boundary_iou", "calibration_error")
NO_CONFIDENCE = "the model gives class indices, so how sure it is can't be known"


class Accuracy:
    quantities = QUANTITIES

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        if subject.dataset is None:
            yield from (Missing(quantity=name, why="skipped", reason="no data set to score on") for name in QUANTITIES)
            return
        checkpoint, baselines = subject.artifact.checkpoint, subject.dataset.baselines
        classes, ignore = len(checkpoint.classes), checkpoint.ignore_index
        metrics = [METRICS.load(name).start(checkpoint.classes, ignore) for name in METRICS.names()]
        scored = {name: np.zeros((classes, classes), np.int64) for name in baselines}
        tiles = blocks = 0
        for tile, logits in subject.predictions():
            require_finite(logits, tile.name)
            for metric in metrics:
                metric.update(logits, tile.mask, tile.region)
            for name, predict in baselines.items():
                scored[name] += confusion(predict(tile.image), tile.mask, classes, ignore)
            tiles, blocks = tiles + 1, blocks + is_block(tile)
        extra: dict[str, object] = {"split": subject.profile.split, "tiles": tiles, "dataset": subject.dataset.name}
        if blocks:
            extra["blocks"] = blocks
        extra["baselines"] = {name: miou(matrix, ignore) for name, matrix in scored.items()}
        results = {outcome.quantity: outcome for metric in metrics for outcome in metric.result()}
        for name in QUANTITIES:
            if name == "calibration_error" and gives_class_indices(subject.artifact):
                yield Missing(quantity=name, why="unsupported", reason=NO_CONFIDENCE)
            elif name in results:
                yield results[name].model_copy(update={"detail": {**results[name].detail, **extra}})
            else:
                yield Missing(quantity=name, why="failed", reason="no labeled pixel in the split")


PROBE = Accuracy()
