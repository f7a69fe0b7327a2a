"""Scenes too large to hold: scored in blocks, so that memory depends on the block, not on the scene.

A scene's logits are those of windows over the whole of it; only the scoring is by block. What a metric calls an image (`miou_per_image`,
the distance of `boundary_iou`) is then a block. A tile of at most BLOCK px a side is one block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from harness.core.specs import Tile

#: Side of a block in pixels.
BLOCK = 1024


def parts_of(tile: Tile) -> Iterator[Tile]:
    """The blocks of a tile, left to right and top to bottom, in its region; a small tile itself.

    `tile.image` and `tile.mask` may be anything with a `shape` that gives arrays when sliced.
    """
    height, width = tile.mask.shape
    if height <= BLOCK and width <= BLOCK:
        yield tile
        return
    for top, left in _corners(height, width):
        rows, columns = slice(top, min(top + BLOCK, height)), slice(left, min(left + BLOCK, width))
        yield Tile(
            f"{tile.name}@{top},{left}", np.asarray(tile.image[:, rows, columns]), np.asarray(tile.mask[rows, columns]), crs=tile.crs, region=tile.region
        )


def cut(strips: Iterable[tuple[int, np.ndarray]], width: int) -> Iterator[np.ndarray]:
    """Logits (K, h, w) of the blocks of a scene, in the order of `parts_of`, from its strips of rows (K, rows, width)."""
    held: list[np.ndarray] = []
    for _, strip in strips:
        held.append(strip)
        while sum(part.shape[1] for part in held) >= BLOCK:
            whole = np.concatenate(held, axis=1)
            yield from _columns(whole[:, :BLOCK], width)
            held = [whole[:, BLOCK:]] if whole.shape[1] > BLOCK else []
    if held:
        yield from _columns(np.concatenate(held, axis=1), width)


def _columns(rows: np.ndarray, width: int) -> Iterator[np.ndarray]:
    for left in range(0, width, BLOCK):
        yield np.ascontiguousarray(rows[:, :, left : left + BLOCK])


def _corners(height: int, width: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            yield top, left
