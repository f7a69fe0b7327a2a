"""Tiles larger than a model's input, covered by windows whose logits are averaged where they overlap.

The model is a function, so PyTorch and every exported artifact are covered by the same code.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from harness.core.errors import ConfigError

#: Logits (b, K, size, size) of windows (b, C, size, size).
Run = Callable[[np.ndarray], np.ndarray]

#: Windows per call: bounds memory, whatever the scene.
BATCH = 8


def starts(side: int, size: int, stride: int | None = None) -> list[int]:
    """First pixels of the windows over one axis: evenly spread, the first at 0, the last ending at the edge, none further than `stride`.

    Without a stride as few windows as cover the side (Cryo-Bench's rule). A side shorter than `size` has one window.
    Raises ConfigError for a stride that would leave gaps.
    """
    step = size if stride is None else stride
    if not 1 <= step <= size:
        raise ConfigError(f"a stride of {step} px leaves gaps between windows of {size} px", f"choose a stride from 1 to {size}")
    if side <= size:
        return [0]
    count = math.ceil((side - size) / step) + 1
    return [int(place) for place in np.linspace(0, side - size, count).round()]


def count_windows(height: int, width: int, size: int, stride: int | None = None) -> int:
    """How many windows cover a scene."""
    return len(starts(height, size, stride)) * len(starts(width, size, stride))


def predict(run: Run, image: np.ndarray, size: int, *, stride: int | None = None, batch: int = BATCH) -> np.ndarray:
    """Logits (K, H, W) float32 of one image (C, H, W) of any height and width.

    A side shorter than `size` is padded at its end with the image's own mean per band, and the logits are cropped back.
    """
    strips = [logits for _, logits in predict_strips(run, image, size, stride=stride, batch=batch)]
    return strips[0] if len(strips) == 1 else np.concatenate(strips, axis=1)


def predict_strips(run: Run, image: np.ndarray, size: int, *, stride: int | None = None, batch: int = BATCH) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of `predict` from top to bottom as soon as no further window touches them: (first row, logits (K, rows, W)).

    Only the rows of the windows at work are in memory. `image` may be anything with a `shape` that gives arrays when sliced, for
    example a scene that is read from its file as it is needed.
    """
    _, height, width = image.shape
    whole = padded(image, size) if height < size or width < size else image
    places = list(itertools.product(starts(height, size, stride), starts(width, size, stride)))
    total: np.ndarray | None = None
    seen = np.zeros((0, whole.shape[2]), np.float32)
    base = 0
    for chunk in _chunks(places, batch):
        top = chunk[0][0]
        if total is not None and top > base:
            yield base, _mean(total[:, : top - base], seen[: top - base], height - base, width)
            total, seen, base = total[:, top - base :], seen[top - base :], top
        windows = np.stack([np.asarray(whole[:, top : top + size, left : left + size]) for top, left in chunk])
        logits = run(windows)
        total = np.zeros((logits.shape[1], 0, whole.shape[2]), np.float32) if total is None else total
        missing = chunk[-1][0] + size - base - total.shape[1]
        if missing > 0:
            total, seen = np.pad(total, ((0, 0), (0, missing), (0, 0))), np.pad(seen, ((0, missing), (0, 0)))
        for (row, left), one in zip(chunk, logits, strict=True):
            total[:, row - base : row - base + size, left : left + size] += one
            seen[row - base : row - base + size, left : left + size] += 1
    assert total is not None  # there is at least one window
    yield base, _mean(total, seen, height - base, width)


def _mean(total: np.ndarray, seen: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Sums of logits over how often each pixel was seen, without what was only padding."""
    return np.asarray((total / seen)[:, :rows, :columns], np.float32)


def padded(image: np.ndarray, size: int) -> np.ndarray:
    """The image (C, H, W) with no side shorter than `size`, filled at its end with its own mean per band."""
    _, height, width = image.shape
    below, right = max(0, size - height), max(0, size - width)
    if not below and not right:
        return image
    filled = np.empty((image.shape[0], height + below, width + right), image.dtype)
    filled[:] = image.mean(axis=(1, 2), keepdims=True)
    filled[:, :height, :width] = image
    return filled


def _chunks(places: list[tuple[int, int]], batch: int) -> Iterator[list[tuple[int, int]]]:
    for begin in range(0, len(places), batch):
        yield places[begin : begin + batch]
