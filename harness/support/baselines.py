"""Predictors that need no training: what a model must beat to mean anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Predictor = Callable[[np.ndarray], np.ndarray]


def constant(index: int) -> Predictor:
    """Every pixel is of class `index`."""

    def predict(image: np.ndarray) -> np.ndarray:
        return np.full(image.shape[-2:], index, dtype=np.int64)

    return predict


def nearest_mean(means: Sequence[Sequence[float]]) -> Predictor:
    """Each pixel is of the class whose mean (classes, bands) is nearest in Euclidean distance."""

    def predict(image: np.ndarray) -> np.ndarray:
        centers = np.asarray(means, dtype=np.float32)
        distance = ((image[None] - centers[:, :, None, None]) ** 2).sum(axis=1)
        return np.asarray(distance.argmin(axis=0), dtype=np.int64)

    return predict
