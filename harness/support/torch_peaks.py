"""Kernels of `support.peaks` in PyTorch: products in half precision, and both kernels on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch

from harness.support.peaks import Kernel

_FLOATS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def torch_product(side: int, *, device: str, precision: str, threads: int) -> Kernel:
    """A product of square matrices; int8 is added up in int32. `run` gives the product; fp32 on a GPU is rounded to TF32 only where the process allows it."""
    torch.set_num_threads(threads)
    if precision == "int8":
        left, right = (torch.full((side, side), value, dtype=torch.int8, device=device) for value in (2, 3))
        return Kernel(_waiting(lambda: torch._int_mm(left, right), device), 2.0 * side**3)
    a, b = (torch.full((side, side), value, dtype=_FLOATS[precision], device=device) for value in (0.5, 0.25))
    return Kernel(_waiting(lambda: torch.matmul(a, b), device), 2.0 * side**3)


def torch_triad(length: int, device: str = "cuda") -> Kernel:
    """In one pass: read b, read c, write a. `run` gives a."""
    a, b, c = (torch.full((length,), value, dtype=torch.float32, device=device) for value in (0.0, 1.0, 2.0))
    return Kernel(_waiting(lambda: torch.add(b, c, alpha=3.0, out=a), device), 3.0 * 4 * length)


def _waiting(compute: Callable[[], torch.Tensor], device: str) -> Callable[[], torch.Tensor]:
    def run() -> torch.Tensor:
        result = compute()
        if device == "cuda":
            torch.cuda.synchronize()
        return result

    return run
