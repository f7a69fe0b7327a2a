"""One tile as four pictures side by side: its pixels, the truth, what was expected, what was decided with the differing pixels in red."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

GAP, RED, GRAY = 4, (230, 30, 30), (128, 128, 128)


def write_comparison(
    path: Path, image: np.ndarray, truth: np.ndarray, expected: np.ndarray, decided: np.ndarray, colors: Sequence[tuple[int, int, int]]
) -> Path:
    """Write a PNG of an image (C, H, W) and three maps of class indices (H, W). Raises ModuleNotFoundError without pillow."""
    from PIL import Image

    count = int(max(truth[truth < 255].max(initial=0), expected.max(), decided.max())) + 1
    chosen = np.asarray(colors if len(colors) >= count else [_color(index) for index in range(count)], np.uint8)
    maps = [painted(labels, chosen) for labels in (truth, expected, decided)]
    maps[-1][expected != decided] = RED
    frames = [stretched(image), *maps]
    gap = np.full((image.shape[1], GAP, 3), 255, np.uint8)
    panel = np.concatenate([part for frame in frames for part in (frame, gap)][:-1], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(panel).save(path)
    return path


def painted(labels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Labels (H, W) in colors (H, W, 3); what is no class is gray."""
    known = (labels >= 0) & (labels < len(colors))
    picture: np.ndarray = np.where(known[..., None], colors[np.where(known, labels, 0)], np.asarray(GRAY, np.uint8))
    return picture


def stretched(image: np.ndarray) -> np.ndarray:
    """The first three bands (or the first, thrice), each from its 2nd to its 98th percentile, as (H, W, 3) bytes."""
    bands = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    low, high = (np.percentile(bands, share, axis=(1, 2), keepdims=True) for share in (2, 98))
    scaled = (bands - low) / np.maximum(high - low, 1e-12)
    return np.asarray(np.moveaxis(scaled.clip(0, 1) * 255, 0, -1), np.uint8)


def _color(index: int) -> tuple[int, int, int]:
    """A color per class, far from its neighbors' by the golden angle around the color wheel."""
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.65, 0.9)
    return int(255 * red), int(255 * green), int(255 * blue)
