"""PyTorch's counter of operations over one call of a network, with the fused kernels that it can't see turned off."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def counted(module: Callable[..., Any], *inputs: Any) -> FlopCounterMode:
    """The counter after one call of `module` on `inputs`; both may be on the meta device."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), plain_multihead_attention(), sdpa_kernel(SDPBackend.MATH), counter:
        module(*inputs)
    return counter


@contextlib.contextmanager
def plain_multihead_attention() -> Iterator[None]:
    """Without the fused kernel of nn.MultiheadAttention, which counts as 0 and hides its matrix products."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
