"""Copies of a module that may be run instead of it: without weights (PyTorch's meta device: tensors that have shapes only), or with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


def meta_copy(module: nn.Module) -> nn.Module:
    """A copy of the module on the meta device, without gradients; the original is left as it is and no weight is copied."""
    return _copied(module, lambda tensor: torch.empty_like(tensor, device="meta"))


def cpu_copy(module: nn.Module) -> nn.Module:
    """A copy of the module on the CPU, without gradients, with weights of its own."""
    return _copied(module, lambda tensor: tensor.detach().to("cpu", copy=True))


def _copied(module: nn.Module, replace: Callable[[Tensor], Tensor]) -> nn.Module:
    memo = {id(tensor): _kind_of(tensor, replace(tensor)) for tensor in _tensors(module) if not is_lazy(tensor)}
    return copy.deepcopy(module, memo)


def _kind_of(tensor: Tensor, new: Tensor) -> Tensor:
    return nn.Parameter(new, requires_grad=False) if isinstance(tensor, nn.Parameter) else new


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Parameters, buffers and tensors kept as plain attributes."""
    yield from module.parameters()
    yield from module.buffers()
    for part in module.modules():
        yield from (value for value in vars(part).values() if isinstance(value, Tensor))
