"""Tiles that are read ahead: in order, a bounded number, in another thread, errors at their turn."""

import threading

import numpy as np
import pytest

from harness.core.errors import DataError
from harness.core.specs import Tile
from harness.support.reading import read_ahead


class Source:
    """Tiles that are named by their number; the one numbered `broken` can't be read."""

    def __init__(self, broken: int | None = None) -> None:
        self.broken, self.read, self.threads = broken, [], set()

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Tile:
        self.read.append(index)
        self.threads.add(threading.get_ident())
        if index == self.broken:
            raise DataError("cut short")
        return Tile(str(index), np.zeros((1, 2, 2), np.float32), np.zeros((2, 2), np.int64))


@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_tiles_come_in_order_from_another_thread(count):
    source = Source()
    assert [tile.name for tile in read_ahead(source, count)] == [str(index) for index in range(count)]
    assert source.read == list(range(count))
    assert threading.get_ident() not in source.threads
    assert len(source.threads) <= 1


def test_no_more_is_read_than_may_wait():
    source = Source()
    tiles = read_ahead(source, 10, ahead=2)
    assert source.read == []
    for taken in range(1, 6):
        next(tiles)
        assert len(source.read) <= taken + 2
    tiles.close()
    assert len(source.read) < 10


def test_an_error_comes_at_the_turn_of_its_tile():
    tiles = read_ahead(Source(broken=2), 10)
    assert [next(tiles).name, next(tiles).name] == ["0", "1"]
    with pytest.raises(DataError, match="cut short"):
        next(tiles)
