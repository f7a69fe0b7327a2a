"""Floating-point operations of any `torch.nn.Module`, counted on a copy in eval mode without weights; see `support.flops`.

Where the forward pass needs values (`.item()`, a loop that ends by data), a copy runs on the CPU over random numbers instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.errors import MeasurementError
from harness.support.flops import count_flops
from harness.support.meta import cpu_copy, meta_copy

#: Shape of one input, or of several: in order, or by name.
InputShape = Sequence[int] | Sequence[Sequence[int]] | Mapping[str, Sequence[int]]
#: How a forward pass that can't run so fails; errors of ours are none of these.
REFUSALS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError, ArithmeticError)


def flops_of_module(module: nn.Module, input_shape: InputShape) -> int:
    """FLOP of one call in eval mode, 2 per multiply-add of convolutions and matrix products; the module is left as it is.

    `input_shape`: a tuple of int; a list of tuples for several inputs; a dict of tuples for inputs by name: keyword arguments where
    `forward` has all of the names, else one dict. Inputs have the weights' dtype; int64 zeros are tried where floats are refused.
    Raises MeasurementError for a shape that the module refuses, and for operators that may be compute but have no rule.
    """
    refused: list[Exception] = []
    for copied, draw in _attempts(module):
        try:
            inputs, named = _arguments(module, input_shape, draw)
            with torch.random.fork_rng(devices=[]), torch.compiler.set_stance("force_eager"):
                return count_flops(copied(module).eval(), *inputs, **named)
        except REFUSALS as error:
            refused.append(error)
    # The first run on the CPU says it best: on the meta device the reason may be that there are no values.
    reason = " ".join(str(refused[1]).split())[:300] or type(refused[1]).__name__
    hint = "give the shape of everything that `forward` takes, the batch included: (1, 3, 224, 224)"
    raise MeasurementError(f"{type(module).__name__} can't be run on inputs {input_shape}: {reason}", hint) from refused[1]


Draw = Callable[[Sequence[int]], Tensor]


def _attempts(module: nn.Module) -> Iterator[tuple[Callable[[nn.Module], nn.Module], Draw]]:
    """How to copy the module and draw an input, the cheapest way first."""
    dtype = next((tensor.dtype for tensor in module.state_dict().values() if tensor.is_floating_point()), torch.float32)
    generator = torch.Generator().manual_seed(0)
    yield meta_copy, lambda shape: torch.empty(*shape, dtype=dtype, device="meta")
    yield cpu_copy, lambda shape: torch.randn(*shape, generator=generator).to(dtype)
    yield cpu_copy, lambda shape: torch.zeros(*shape, dtype=torch.int64)


def _arguments(module: nn.Module, shape: InputShape, draw: Draw) -> tuple[list[Any], dict[str, Any]]:
    """The positional and the named arguments of a call."""
    if isinstance(shape, Mapping):
        named = {name: draw(sides) for name, sides in shape.items()}
        return ([], named) if named.keys() <= inspect.signature(module.forward).parameters.keys() else ([named], {})
    several = any(isinstance(side, Sequence) for side in shape)
    return [draw(sides) for sides in (shape if several else (shape,))], {}  # type: ignore[arg-type]
