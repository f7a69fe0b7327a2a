"""Floating-point operations of a network as `torch.export` writes it down: one rule per ATen operator over the recorded shapes.

Counts convolutions and matrix products with 2 FLOP per multiply-add, attention included, like `support.flops`, but from the graph and
not from a run. An operator that we know neither as compute nor as element-wise, view, movement or reduction is an error that names the
node: never a silent 0.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.fx.config
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

from harness.core.errors import MeasurementError
from harness.core.specs import TensorSpec
from harness.support.aten_names import is_not_compute, name_of
from harness.support.flop_counter import plain_multihead_attention
from harness.support.programs import load_program

Shape = tuple[int, ...]


def export_network(network: nn.Module, *inputs: Tensor) -> ExportedProgram:
    """The network's graph for these inputs, in which every intermediate shape is known; both may be on the meta device.

    PyTorch's fused kernel of nn.MultiheadAttention is off, so that its matrix products are in the graph.
    Raises MeasurementError with the exporter's reason.
    """
    try:
        with torch.no_grad(), plain_multihead_attention(), _no_stack_traces():
            return torch.export.export(network, inputs, strict=False)
    except (RuntimeError, ValueError, TypeError, AssertionError, torch._dynamo.exc.TorchDynamoException) as error:
        raise MeasurementError(f"torch.export refuses the network: {str(error).partition(chr(10))[0]}") from error


@contextlib.contextmanager
def _no_stack_traces() -> Iterator[None]:
    """The graph without the line of code that each node comes from, which takes a fifth of the time. Does nothing in an older torch."""
    before = getattr(torch.fx.config, "do_not_emit_stack_traces", False)
    torch.fx.config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        torch.fx.config.do_not_emit_stack_traces = before


def flops_of_program(program: ExportedProgram) -> dict[str, int]:
    """FLOP by operator. Raises MeasurementError for an operator without a rule."""
    totals: dict[str, int] = {}
    for name, node in operators(program):
        if name in RULES:
            totals[name] = totals.get(name, 0) + RULES[name](node)
    return totals


def flops_of_pt2(path: Path, inputs: Sequence[TensorSpec]) -> dict[str, int]:
    """FLOP by operator of a `.pt2` file for the first of a batch of `inputs`.

    Raises MeasurementError for a file that torch can't load, an operator without a rule, and sizes other than those it was recorded with.
    """
    program = load_program(path)
    try:
        taken = set(program.graph_signature.user_inputs)
        recorded = [shape_of(node) for node in program.graph.nodes if node.op == "placeholder" and node.name in taken]
        found = flops_of_program(program)
    except (RuntimeError, ValueError, KeyError, AssertionError) as error:
        raise MeasurementError(f"no FLOP of {path}: {str(error).partition(chr(10))[0]}", "export it again with the installed torch") from error
    for shape, spec in zip(recorded, inputs, strict=True):
        if any(isinstance(side, int) and side != own for side, own in zip(spec.shape[1:], shape[1:], strict=True)):
            sides = " and ".join("x".join(map(str, one)) for one in (shape, spec.shape))
            raise MeasurementError(f"the shapes in {path} are recorded for an input of another size than the one that it runs with: {sides}")
    batch = recorded[0][0] if recorded and recorded[0] else 1
    return {name: count // batch for name, count in found.items()}


def operators(program: ExportedProgram) -> Iterator[tuple[str, Node]]:
    """The calls of the graph, by name without namespace and overload. Raises MeasurementError for one that may be compute without a rule."""
    for node in program.graph.nodes:
        if node.op != "call_function" or node.target is operator.getitem:
            continue
        name = name_of(node.target)
        if name not in RULES and not is_not_compute(node.target):
            raise MeasurementError(f"no FLOP rule for operator {node.target} (node {node.name!r})")
        yield name, node


def shape_of(node: object) -> Shape:
    """The shape of a node's one tensor."""
    assert isinstance(node, Node)
    return tuple(int(side) for side in node.meta["val"].shape)


def _convolution(node: Node) -> int:
    return 2 * math.prod(shape_of(node.args[1])[1:]) * math.prod(shape_of(node))


def _transposed_convolution(node: Node) -> int:
    return 2 * math.prod(shape_of(node.args[1])[1:]) * math.prod(shape_of(node.args[0]))


def _any_convolution(node: Node) -> int:
    """`convolution` says in its seventh argument whether it is transposed."""
    return _transposed_convolution(node) if node.args[6] else _convolution(node)


def _product(node: Node) -> int:
    """First factor (..., k), each entry of the result a sum of k products."""
    return 2 * shape_of(node.args[0])[-1] * math.prod(shape_of(node))


def _added_product(node: Node) -> int:
    """As `_product`, after a tensor that the product is added to."""
    return 2 * shape_of(node.args[1])[-1] * math.prod(shape_of(node))


def _einsum(node: Node) -> int:
    """Product of all index sizes where one is summed over: exact for two operands. An outer product only multiplies."""
    equation, factors = str(node.args[0]).replace(" ", ""), node.args[1]
    assert isinstance(factors, (list, tuple))
    if "." in equation or "->" not in equation or len(factors) > 2:
        raise MeasurementError(f"no FLOP rule for the einsum {equation!r} (node {node.name!r})")
    terms, _, result = equation.partition("->")
    sides: dict[str, int] = {}
    for term, factor in zip(terms.split(","), factors, strict=True):
        sides.update(zip(term, shape_of(factor), strict=True))
    is_product = len(factors) == 2 and sides.keys() - set(result)
    return 2 * math.prod(sides.values()) if is_product else 0


def _attention(node: Node) -> int:
    """Scores and their product with the values: queries (..., L, E), keys (..., S, E), values (..., S, V)."""
    query, key, value = (shape_of(argument) for argument in node.args[:3])
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


RULES: dict[str, Callable[[Node], int]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed_convolution),
    "convolution": _any_convolution,
    **dict.fromkeys(("linear", "matmul", "mm", "bmm", "mv", "dot"), _product),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _added_product),
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
}
