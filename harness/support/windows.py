"""Tiles larger than a model's input, covered by windows whose logits are averaged where they overlap.

The model is a function, so PyTorch and every exported artifact are covered by the same code.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

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


def pixels_per_window(sides: Iterable[tuple[int, int]], size: int) -> float:
    """Pixels of tiles (H, W) over the windows that cover them, on average: `size` ** 2 without padding and overlap, less with them."""
    tiles = list(sides)
    return sum(height * width for height, width in tiles) / sum(count_windows(height, width, size) for height, width in tiles)


def predict(run: Run, image: np.ndarray, size: int, *, stride: int | None = None, batch: int = BATCH) -> np.ndarray:
    """Logits (K, H, W) float32 of one image (C, H, W) of any height and width.

    A side shorter than `size` is padded at its end with the image's own mean per band, and the logits are cropped back.
    """
    strips = [logits for _, logits in predict_strips(run, image, size, stride=stride, batch=batch)]
    return strips[0] if len(strips) == 1 else np.concatenate(strips, axis=1)


def predict_strips(run: Run, image: np.ndarray, size: int, *, stride: int | None = None, batch: int = BATCH) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of `predict` from top to bottom as soon as no further window touches them: (first row, logits (K, rows, W))."""
    for _, top, strip in predict_stream(run, [image], size, stride=stride, batch=batch):
        yield top, strip


def predict_stream(
    run: Run, images: Iterable[np.ndarray], size: int, *, stride: int | None = None, batch: int = BATCH
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Strips of many images in order, windows of neighbors sharing a call: (number of the image, first row, logits (K, rows, W)).

    Only the images and the rows of the windows at work are in memory. An image may be anything with a `shape` that gives arrays when
    sliced, for example a scene that is read from its file as it is needed.
    """
    windows = (window for number, image in enumerate(images) for window in _windows(number, image, size, stride))
    while chunk := list(itertools.islice(windows, batch)):
        logits = run(np.stack([window.pixels for window in chunk]))
        for window, one in zip(chunk, logits, strict=True):
            for top, strip in window.stitch.add(window.row, window.left, one):
                yield window.number, top, strip


class _Window(NamedTuple):
    """One window of the image `number`, pixels (C, size, size), and where its logits go."""

    number: int
    row: int
    left: int
    pixels: np.ndarray
    stitch: _Stitch


def _windows(number: int, image: np.ndarray, size: int, stride: int | None) -> Iterator[_Window]:
    _, height, width = image.shape
    whole = padded(image, size) if height < size or width < size else image
    places = list(itertools.product(starts(height, size, stride), starts(width, size, stride)))
    stitch = _Stitch(height, width, len(places))
    for row, left in places:
        yield _Window(number, row, left, np.asarray(whole[:, row : row + size, left : left + size]), stitch)


class _Stitch:
    """The mean of an image's windows where they overlap. They come row by row; rows that no further window touches go out."""

    def __init__(self, height: int, width: int, windows: int) -> None:
        self._height, self._width, self._left = height, width, windows
        self._base = 0
        self._total = np.zeros((0, 0, 0), np.float32)
        self._seen = np.zeros((0, 0), np.float32)

    def add(self, row: int, left: int, logits: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Take the logits (K, size, size) of the window at (row, left); gives (first row, logits (K, rows, W)) of what is done."""
        if row > self._base:
            yield self._out(row)
        size, top = logits.shape[1], row - self._base
        self._grow(len(logits), top + size, max(size, self._width))
        self._total[:, top : top + size, left : left + size] += logits
        self._seen[top : top + size, left : left + size] += 1
        self._left -= 1
        if not self._left:
            yield self._out(self._height)

    def _grow(self, classes: int, rows: int, columns: int) -> None:
        missing = rows - len(self._seen)
        if not len(self._seen):
            self._total, self._seen = np.zeros((classes, rows, columns), np.float32), np.zeros((rows, columns), np.float32)
        elif missing > 0:
            self._total, self._seen = np.pad(self._total, ((0, 0), (0, missing), (0, 0))), np.pad(self._seen, ((0, missing), (0, 0)))

    def _out(self, row: int) -> tuple[int, np.ndarray]:
        """The rows above `row`, without what was only padding."""
        rows, top = row - self._base, self._base
        mean = np.asarray((self._total[:, :rows] / self._seen[:rows])[:, :, : self._width], np.float32)
        self._total, self._seen, self._base = self._total[:, rows:], self._seen[rows:], row
        return top, mean


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
