"""Scenes too large to hold: scored in blocks, so that memory depends on the block, not on the scene.

A scene's logits are those of windows over the whole of it; only the scoring is by block. What a metric calls an image (`miou_per_image`,
the distance of `boundary_iou`) is then a block, and the detail of the scores says how many there are. A tile of at most BLOCK px a side is one block.
"""

from __future__ import annotations

import itertools
import math
import re
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
    for rows, columns in itertools.product(spans(height), spans(width)):
        name = f"{tile.name}@{rows.start},{columns.start}"
        yield Tile(name, np.asarray(tile.image[:, rows, columns]), np.asarray(tile.mask[rows, columns]), crs=tile.crs, region=tile.region)


def is_block(part: Tile) -> bool:
    """Whether a part is one of several of its tile, by its name."""
    return re.search(r"@[0-9]+,[0-9]+$", part.name) is not None


def spans(side: int) -> list[slice]:
    """The blocks over one axis: as few as are needed, of equal length but for a pixel, so that none is a sliver."""
    count = math.ceil(side / BLOCK)
    ends = [side * number // count for number in range(count + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(ends)]


def cut(strips: Iterable[tuple[int, np.ndarray]], height: int, width: int) -> Iterator[np.ndarray]:
    """Logits (K, h, w) of the blocks of a scene, in the order of `parts_of`, from its strips of rows (K, rows, width)."""
    held: list[np.ndarray] = []
    waiting = iter(strips)
    for span in spans(height):
        wanted = span.stop - span.start
        while sum(part.shape[1] for part in held) < wanted:
            held.append(next(waiting)[1])
        whole = np.concatenate(held, axis=1)
        yield from (np.ascontiguousarray(whole[:, :wanted, columns]) for columns in spans(width))
        held = [whole[:, wanted:]]
