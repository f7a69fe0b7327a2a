"""The count of fvcore, Cryo-Bench's tool, with what it drops put back.

fvcore reads a network through `torch.jit.trace`, which fails on the meta device (torch 2.15: the sizes that a traced convolution sees
are tensors) and runs the whole network elsewhere. Its rules per operator need only the shapes of inputs and outputs, so they are
applied here to the graph of `torch.export`. fvcore counts 1 per multiply-add, and adds norms, pooling and resizing with a few
operations per element; attention by `scaled_dot_product_attention` it takes for 0.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from harness.core.errors import MeasurementError
from harness.support.aten_flops import RULES, operators

Rule = Callable[[Sequence[Any], Sequence[Any]], Any]
CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


def fvcore_macs(program: ExportedProgram) -> dict[str, int]:
    """Multiply-adds by operator as fvcore counts them, attention included.

    Raises MeasurementError for an operator that is compute to us and unknown to fvcore, and where a rule of fvcore refuses a node;
    ModuleNotFoundError without fvcore.
    """
    rules = {**default_rules(), **DROPPED}
    totals: dict[str, int] = {}
    for name, node in operators(program):
        rule = rules.get("aten::_convolution" if name in (*CONVOLUTIONS, *TRANSPOSED, "convolution") else f"aten::{name}")
        if rule is None and name in RULES:
            raise MeasurementError(f"fvcore has no rule for operator {node.target} (node {node.name!r})")
        if rule is not None:
            totals[name] = totals.get(name, 0) + _counted(rule, name, node)
    return totals


def default_rules() -> Mapping[str, Rule]:
    """fvcore's own rules by operator, for example "aten::linear"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore compiles a loss with torch.jit.script when it is imported
        from fvcore.nn.flop_count import _DEFAULT_SUPPORTED_OPS

    return {name: rule for name, rule in _DEFAULT_SUPPORTED_OPS.items() if rule is not None}


def _attention(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Scores and their product with the values: queries (..., L, E), keys (..., S, E), values (..., S, V)."""
    query, key, value = (value.type().sizes() for value in inputs[:3])
    return int(math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def _added_batched(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """A tensor (B, n, p) plus a product of (B, n, k) and (B, k, p)."""
    return int(math.prod(outputs[0].type().sizes()) * inputs[1].type().sizes()[-1])


def _vector(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """A matrix or a vector times a vector."""
    return int(math.prod(inputs[0].type().sizes()))


#: Rules in fvcore's form for what it takes for 0.
DROPPED: Mapping[str, Rule] = {
    "aten::scaled_dot_product_attention": _attention,
    "aten::baddbmm": _added_batched,
    "aten::mv": _vector,
    "aten::dot": _vector,
    "aten::addmv": lambda inputs, outputs: _vector(inputs[1:], outputs),
}


def _counted(rule: Rule, name: str, node: Node) -> int:
    try:
        found = rule(_inputs(name, node), [_value(node)])
    except (AssertionError, IndexError, TypeError, AttributeError, NotImplementedError) as error:
        raise MeasurementError(f"fvcore's rule for {node.target} refuses node {node.name!r}: {error}") from error
    return int(sum(found.values()) if isinstance(found, Mapping) else found)


def _inputs(name: str, node: Node) -> list[Any]:
    """All arguments of the operator's schema, defaults filled in; a convolution's in the order of `_convolution`."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = [*node.args, *(node.kwargs.get(argument.name, argument.default_value) for argument in schema[len(node.args) :])]
    if name in (*TRANSPOSED, *CONVOLUTIONS):
        given = [*given[:6], name in TRANSPOSED]
    if name in (*TRANSPOSED, *CONVOLUTIONS, "convolution"):
        given = [*given, *[None] * (12 - len(given))]
    return [_value(argument) for argument in given]


def _value(argument: Any) -> SimpleNamespace:
    """What fvcore asks of a value of a traced graph: its sizes if it is a tensor, else its content."""
    content = argument.meta["val"] if isinstance(argument, Node) else argument
    if isinstance(content, Tensor):
        sizes = [int(side) for side in content.shape]
        return SimpleNamespace(isCompleteTensor=lambda: True, type=lambda: SimpleNamespace(sizes=lambda: sizes))
    parts = [_value(part) for part in argument] if isinstance(argument, (list, tuple)) else []
    return SimpleNamespace(isCompleteTensor=lambda: False, toIValue=lambda: content, node=lambda: SimpleNamespace(inputs=lambda: parts))
