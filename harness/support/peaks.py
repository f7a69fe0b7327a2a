"""What this machine can do at most with so many threads: a matrix product for FLOP/s, the STREAM triad for B/s.

The best figures ever seen are kept per fingerprint in the cache folder, since a peak is what was reached once. Source of the triad:
McCalpin, STREAM; a = b + s * c, here in two passes over arrays far larger than any cache, every read and write counted.
"""

from __future__ import annotations

import contextlib
import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.core.files import cache_folder, write_atomic
from harness.core.ports import Clock

SIDE, LENGTH = 1024, 2**23
#: Passes of the triad over an array: read c, write a; read a, read b, write a.
PASSES = 5


class Peaks(NamedTuple):
    """FLOP/s of a product of fp32 matrices and B/s of the triad."""

    flops: float
    bandwidth: float


class Bench:
    """Both kernels with their arrays made once. The matrix product uses the threads that the process was started with."""

    def __init__(self, threads: int, clock: Clock, *, side: int = SIDE, length: int = LENGTH) -> None:
        self._clock, self._side, self._length = clock, side, length
        self._left, self._right = (np.full((side, side), value, np.float32) for value in (0.5, 0.25))
        self._a, self._b, self._c = (np.full(length, value) for value in (0.0, 1.0, 2.0))
        self._parts = [slice(round(part * length / threads), round((part + 1) * length / threads)) for part in range(threads)]
        self._pool = ThreadPoolExecutor(threads)

    def once(self) -> Peaks:
        """Both figures of one run each."""
        return Peaks(2 * self._side**3 / self._timed(self._product), PASSES * 8 * self._length / self._timed(self._triad))

    def _timed(self, kernel: object) -> float:
        begin = self._clock()
        kernel()  # type: ignore[operator]
        return self._clock() - begin

    def _product(self) -> None:
        np.matmul(self._left, self._right)

    def _triad(self) -> None:
        list(self._pool.map(self._part, self._parts))

    def _part(self, part: slice) -> None:
        np.multiply(self._c[part], 3.0, out=self._a[part])
        np.add(self._a[part], self._b[part], out=self._a[part])


def peaks_file(fingerprint: str, threads: int) -> Path:
    return cache_folder() / "peaks" / f"{fingerprint}-{threads}.json"


def best(known: Peaks | None, seen: Peaks) -> Peaks:
    return seen if known is None else Peaks(*map(max, known, seen))


def read_peaks(path: Path) -> Peaks | None:
    """What was reached before, None where nothing readable is kept."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        kept = Peaks(**json.loads(path.read_text()))
        return kept if all(isinstance(value, float) and math.isfinite(value) and value > 0 for value in kept) else None
    return None


def write_peaks(path: Path, peaks: Peaks) -> None:
    write_atomic(path, json.dumps(peaks._asdict()) + "\n")
