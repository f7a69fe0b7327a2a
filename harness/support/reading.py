"""Tiles read by a thread of their own while the caller computes, a bounded number ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from harness.core.specs import Tile, TileSource

#: Tiles that wait to be taken: enough that reading and computing overlap, few enough to hold.
AHEAD = 2


def read_ahead(source: TileSource, count: int, ahead: int = AHEAD) -> Iterator[Tile]:
    """The first `count` tiles in order; at most `ahead` + 1 are in memory beside the caller's. Raises what reading raises, at the tile's turn."""
    waiting: deque[Future[Tile]] = deque()
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
    try:
        for index in range(count):
            waiting.append(reader.submit(source.__getitem__, index))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        reader.shutdown(cancel_futures=True)
