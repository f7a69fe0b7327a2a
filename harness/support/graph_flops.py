"""Floating-point operations of an ONNX graph as exported: one rule per operator over inferred shapes.

Counts convolutions and matrix products with 2 FLOP per multiply-add, like `support.flops`. An operator that we know neither as
compute nor as element-wise, movement or reduction is an error that names the node: never a silent 0.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, shape_inference

from harness.core.errors import MeasurementError
from harness.core.specs import TensorSpec

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

ARITHMETIC: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}

#: Element-wise work, data movement, reductions, normalization: not counted, by definition.
NOT_COUNTED = frozenset(
    """Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Clip Concat Constant ConstantOfShape Cos CumSum DepthToSpace
    DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu
    GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization IsInf IsNaN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization Max MaxPool Mean Min Mish Mod Mul Neg NonZero Not OneHot Or
    PRelu Pad Pow QuantizeLinear RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign
    SpaceToDepth Split SplitToSequence Sqrt Squeeze Sub Sum Swish Tan Tanh Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor""".split()  # noqa: SIM905
)


def flops_of_onnx(path: Path, inputs: Sequence[TensorSpec]) -> dict[str, int]:
    """FLOP by operator type for one input of batch 1.

    Raises MeasurementError for an unknown operator or a shape that can't be inferred, naming the node.
    """
    totals: dict[str, int] = {}
    for node, flops in flops_by_node(path, inputs):
        totals[node.op_type] = totals.get(node.op_type, 0) + flops
    return totals


def flops_by_node(path: Path, inputs: Sequence[TensorSpec]) -> list[tuple[NodeProto, int]]:
    """Every node that computes with its FLOP for one input of batch 1, in the order of the graph. Raises as flops_of_onnx."""
    graph, shapes = _shapes(path, inputs)
    counted = []
    for node in _nodes(graph):
        if node.op_type in NOT_COUNTED:
            continue
        rule = RULES.get(node.op_type)
        if rule is None:
            raise MeasurementError(f"{path.name}: no FLOP rule for operator {node.op_type} (node {node.name!r})")
        try:
            counted.append((node, rule(node, shapes)))
        except KeyError as error:
            raise MeasurementError(f"{path.name}: the shape of {error} is not known (node {node.name!r}, {node.op_type})") from error
    return counted


def _shapes(path: Path, inputs: Sequence[TensorSpec]) -> tuple[GraphProto, Shapes]:
    """The graph, and every shape that is known at batch 1: what the exporter wrote, and over it what ONNX infers."""
    model: ModelProto = onnx.load(str(path), load_external_data=False)
    wanted = {spec.name: spec.shape for spec in inputs}
    symbols: dict[str, int] = {}
    for value in model.graph.input:
        for dimension, side in zip(value.type.tensor_type.shape.dim, wanted.get(value.name, ()), strict=False):
            if dimension.dim_param:
                symbols[dimension.dim_param] = 1
            dimension.dim_value = side if isinstance(side, int) else 1
    shapes: Shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes |= _known(model.graph, symbols)
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph = shape_inference.infer_shapes(model, strict_mode=False, data_prop=True).graph
    return graph, shapes | _known(graph, symbols)


def _known(graph: GraphProto, symbols: Mapping[str, int]) -> Shapes:
    """Shapes without an unknown side."""
    shapes: Shapes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sides = [dimension.dim_value or _evaluated(dimension.dim_param, symbols) for dimension in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.HasField("shape") and None not in sides:
            shapes[value.name] = tuple(side for side in sides if side is not None)
    return shapes


def _evaluated(expression: str, symbols: Mapping[str, int]) -> int | None:
    """A symbolic side such as "49*batch" with the inputs' symbols filled in; None where it holds any other."""
    try:
        return _value(ast.parse(expression, mode="eval").body, symbols)
    except (SyntaxError, KeyError, ZeroDivisionError):
        return None


def _value(node: ast.expr, symbols: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        return symbols[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        return ARITHMETIC[type(node.op)](_value(node.left, symbols), _value(node.right, symbols))
    raise KeyError(ast.dump(node))


def _nodes(graph: GraphProto) -> list[NodeProto]:
    """All nodes; a control-flow node is refused, since its cost depends on data."""
    for node in graph.node:
        if any(attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for attribute in node.attribute):
            raise MeasurementError(f"operator {node.op_type} (node {node.name!r}) holds a subgraph: its FLOP depend on the data")
    return list(graph.node)


def _conv(node: NodeProto, shapes: Shapes) -> int:
    weight, output = shapes[node.input[_WEIGHT[node.op_type]]], shapes[node.output[0]]
    return 2 * math.prod(weight[1:]) * math.prod(output)


def _conv_transpose(node: NodeProto, shapes: Shapes) -> int:
    weight, source = shapes[node.input[1]], shapes[node.input[0]]
    return 2 * math.prod(weight[1:]) * math.prod(source)


def _matmul(node: NodeProto, shapes: Shapes) -> int:
    inner = shapes[node.input[0]][-1]
    return 2 * inner * math.prod(shapes[node.output[0]])


def _gemm(node: NodeProto, shapes: Shapes) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    inner = shapes[node.input[0]][0 if transposed else 1]
    return 2 * inner * math.prod(shapes[node.output[0]])


def _einsum(node: NodeProto, shapes: Shapes) -> int:
    """Product of all index sizes: exact for two operands."""
    equation = next(attribute.s.decode() for attribute in node.attribute if attribute.name == "equation").replace(" ", "")
    sides: dict[str, int] = {}
    for term, name in zip(equation.partition("->")[0].split(","), node.input, strict=True):
        if "." in term or len(node.input) > 2:
            raise MeasurementError(f"no FLOP rule for the Einsum {equation!r} (node {node.name!r})")
        sides.update(zip(term, shapes[name], strict=True))
    return 2 * math.prod(sides.values()) if len(node.input) == 2 else 0


def _attention(node: NodeProto, shapes: Shapes) -> int:
    """Scores and their product with the values, for 4-D inputs (batch, heads, length, width)."""
    query, key, value = (shapes[name] for name in node.input[:3])
    if len(query) != 4:
        raise MeasurementError(f"no FLOP rule for an Attention over {len(query)}-D inputs (node {node.name!r})")
    return 2 * math.prod(query[:3]) * key[2] * (query[3] + value[3])


_WEIGHT = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
RULES: dict[str, Callable[[NodeProto, Shapes], int]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "QLinearConv": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Attention": _attention,
}
