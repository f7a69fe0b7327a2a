"""What this machine can do at most: a matrix product for FLOP/s, the STREAM triad for B/s.

A precision has the product in that precision or in fp32, whichever is faster: a machine without instructions for it computes in fp32.
The best figures ever seen are kept per fingerprint, threads, device and precision in the cache folder, since a peak is what was reached once.
Source of the triad: McCalpin, STREAM; a = b + s * c over arrays far larger than any cache, every read and write counted.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.core.errors import HarnessError
from harness.core.files import cache_folder, write_atomic
from harness.core.ports import Clock
from harness.core.registry import missing_package

SIDE, LENGTH = 1024, 2**23
#: A processor without instructions for half precision takes a second for a product of 1024.
HALF_SIDE = 512
#: A GPU has more to fill.
CUDA_SIDE, CUDA_LENGTH = 8192, 2**27
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
#: Seconds for which a kernel is run, since threads of the runtime that ran before it go on spinning and take its cores: after a call of ONNX
#: Runtime (40 ms of processor time) a product on 2 cores reached 32 GFLOP/s, without that 50.
SETTLED = 0.2


class Peaks(NamedTuple):
    """FLOP/s of a product of matrices (an integer operation counts as one) and B/s of the triad."""

    flops: float
    bandwidth: float


class Kernel(NamedTuple):
    """Something to run, which waits for its end, and how much of FLOP or bytes it is good for."""

    run: Callable[[], object]
    amount: float


class Bench(NamedTuple):
    """The kernels with their arrays made once."""

    products: tuple[Kernel, ...]
    triad: Kernel
    clock: Clock

    def once(self) -> Peaks:
        """Both figures, each the best within SETTLED."""
        return Peaks(max(map(self._rate, self.products)), self._rate(self.triad))

    def _rate(self, kernel: Kernel) -> float:
        rate, begin = 0.0, self.clock()
        before = begin
        while before - begin < SETTLED:
            kernel.run()
            now = self.clock()
            rate, before = max(rate, kernel.amount / (now - before)), now
        return rate


def bench_for(device: str, precision: str, threads: int, clock: Clock) -> Bench | str:
    """The kernels that stand for an artifact of that precision there, or why there are none."""
    kind = precision.partition("-")[0]
    if kind not in PRECISIONS:
        return f"a peak is measured in {', '.join(PRECISIONS)}, the artifact is {precision}"
    try:
        return _on_cuda(kind, threads, clock) if device == "cuda" else _on_cpu(kind, threads, clock)
    except ModuleNotFoundError as error:
        return str(missing_package(f"a peak in {kind}", error))


def _on_cpu(kind: str, threads: int, clock: Clock) -> Bench:
    products = [numpy_product(SIDE)]
    if kind == "int8":
        from harness.support.onnx_peaks import integer_product

        products.append(integer_product(SIDE, threads))
    elif kind != "fp32":
        from harness.support.torch_peaks import torch_product

        products.append(torch_product(HALF_SIDE, device="cpu", precision=kind, threads=threads))
    return Bench(tuple(products), numpy_triad(LENGTH, threads), clock)


def _on_cuda(kind: str, threads: int, clock: Clock) -> Bench:
    from harness.support.torch_peaks import torch_product, torch_triad

    kinds = dict.fromkeys(("fp32", kind))
    products = tuple(torch_product(CUDA_SIDE, device="cuda", precision=name, threads=threads) for name in kinds)
    return Bench(products, torch_triad(CUDA_LENGTH), clock)


def numpy_product(side: int) -> Kernel:
    """A product of fp32 matrices, with the threads that the process was started with."""
    left, right = (np.full((side, side), value, np.float32) for value in (0.5, 0.25))
    return Kernel(lambda: np.matmul(left, right), 2.0 * side**3)


def numpy_triad(length: int, threads: int) -> Kernel:
    """In two passes: read c, write a; read a, read b, write a. Its `run` gives a."""
    a, b, c = (np.full(length, value) for value in (0.0, 1.0, 2.0))
    parts = [slice(round(part * length / threads), round((part + 1) * length / threads)) for part in range(threads)]
    pool = ThreadPoolExecutor(threads)

    def part_of(part: slice) -> None:
        np.multiply(c[part], 3.0, out=a[part])
        np.add(a[part], b[part], out=a[part])

    def run() -> np.ndarray:
        list(pool.map(part_of, parts))
        return a

    return Kernel(run, 5.0 * 8 * length)


def peaks_file(fingerprint: str, threads: int, device: str, precision: str) -> Path:
    return cache_folder() / "peaks" / f"{fingerprint}-{threads}-{device}-{precision.partition('-')[0]}.json"


def best(known: Peaks | None, seen: Peaks) -> Peaks:
    return seen if known is None else Peaks(*map(max, known, seen))


def read_peaks(path: Path) -> Peaks | None:
    """What was reached before, None where nothing readable is kept."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        kept = Peaks(**json.loads(path.read_text()))
        return kept if all(isinstance(value, float) and math.isfinite(value) and value > 0 for value in kept) else None
    return None


def write_peaks(path: Path, peaks: Peaks) -> None:
    """Keep them for later runs, where the cache folder can be written."""
    with contextlib.suppress(HarnessError):
        write_atomic(path, json.dumps(peaks._asdict()) + "\n")
