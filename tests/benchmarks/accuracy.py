"""mIoU against oracles on random cases: counts against scikit-learn, the figure against exact fractions and against torchmetrics."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from torchmetrics import JaccardIndex

from harness.metrics.miou import METRIC

CASES = 1000


def measure(folder: Path) -> dict[str, Any]:
    """How many cases have equal counts, the exact figure to the last bit of float64, and torchmetrics' figure to the last bit of its float32."""
    counts = exact = single = 0
    farthest = 0.0
    for seed in range(CASES):
        classes, ignore, predicted, truth = _case(np.random.default_rng(seed))
        accumulator = METRIC.start([str(index) for index in range(classes)], ignore)
        accumulator.update(np.moveaxis(np.eye(classes, dtype=np.float32)[predicted], -1, 0), truth, "r")
        found = list(accumulator.result())
        kept = truth != ignore
        wanted = confusion_matrix(truth[kept], predicted[kept], labels=range(classes))
        value = found[0].value
        counts += found[0].detail["confusion"] == wanted.tolist()
        exact += bool(value == _exact(wanted))
        oracle = JaccardIndex(task="multiclass", num_classes=classes, ignore_index=ignore, average="macro")
        theirs = np.float32(oracle(torch.from_numpy(predicted)[None], torch.from_numpy(truth)[None]).item())
        single += bool(abs(np.float32(value) - theirs) <= 2 * np.spacing(theirs))
        farthest = max(farthest, abs(value - float(theirs)))
    rows = {"equal_counts": counts, "equal_to_exact_fractions": exact, "within_two_bits_of_torchmetrics_float32": single}
    return {"cases": CASES, **rows, "largest_difference_from_torchmetrics": farthest}


def _case(rng: np.random.Generator) -> tuple[int, int, np.ndarray, np.ndarray]:
    """2 to 20 classes of which some never occur, a third with ignored pixels, predictions right as often as not."""
    classes = int(rng.integers(2, 21))
    present = rng.choice(classes, int(rng.integers(1, classes + 1)), replace=False)
    truth = rng.choice(present, (32, 32))
    predicted = np.where(rng.random((32, 32)) < rng.random(), truth, rng.integers(0, classes, (32, 32)))
    if rng.random() < 1 / 3:
        truth = np.where(rng.random((32, 32)) < 0.3, 255, truth)
    return classes, 255, predicted, truth


def _exact(matrix: np.ndarray) -> float:
    """Mean over the classes present of hits over union, without rounding until the end."""
    hits = np.diag(matrix)
    unions = matrix.sum(0) + matrix.sum(1) - hits
    shares = [Fraction(int(hit), int(union)) for hit, union in zip(hits, unions, strict=True) if union]
    return float(sum(shares) / len(shares))
