"""An fp32 ONNX graph in bfloat16, and the same graph as ONNX Runtime can compute it on a CPU, which has no bfloat16 kernels.

A node is lowered where the operator's own schema takes bfloat16, so that the graph is sound for strongly typed runtimes. Nothing overflows
that fp32 holds, since the exponent has as many bits; of the mantissa 8 are left.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from harness.core.errors import ExportError
from harness.core.leftovers import marked
from harness.support.onnx_fp16 import inferred, name_nodes, preprocessing, sort_nodes
from harness.support.onnx_run import runner

if TYPE_CHECKING:
    from harness.support.agreement import Run

BF16 = "tensor(bfloat16)"
#: What TensorRT 11 does not take in bfloat16 though the schema does: its parser the activations, TensorRT-RTX's builder the other.
NOT_IN_TENSORRT = frozenset({"ConvTranspose", "HardSwish", "Mish"})


def to_bf16(source: Path, target: Path, *, kept: Collection[str] = (), external: bool = False) -> list[str]:
    """Write `source` in bfloat16 with fp32 inputs and outputs.

    Returns the names of the nodes that stay in fp32: `kept`, what works on raw pixels, and what has no bfloat16 in its schema or in TensorRT.
    Raises ExportError for a graph with branches or loops, or where nothing can be lowered.
    """
    model = onnx.load(str(source))
    graph, lowered = _plan(model, kept)
    floats = _tensors(graph, TensorProto.FLOAT)
    stay = sorted(node.name for node in model.graph.node if node.name not in lowered and floats & {*node.input, *node.output})
    narrow = _rewrite(model.graph, floats, lowered)
    _declare(model.graph, (*graph.value_info, *graph.output), narrow)
    sort_nodes(model)
    onnx.save(model, str(target), save_as_external_data=external, location=f"{target.name}.data")
    return stay


def lowerable(source: Path) -> list[str]:
    """The names of the nodes that `to_bf16` lowers where none is kept, in the order of the graph. Raises ExportError as it does."""
    model = onnx.load(str(source))
    lowered = _plan(model, ())[1]
    return [node.name for node in model.graph.node if node.name in lowered]


def _plan(model: ModelProto, kept: Collection[str]) -> tuple[GraphProto, dict[str, tuple[set[int], set[int]]]]:
    """The graph with the types of its tensors, and for each node to be lowered which inputs and outputs are. Every node gets a name."""
    name_nodes(model)
    if any(attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for node in model.graph.node for attribute in node.attribute):
        raise ExportError("the graph has branches or loops, which are not lowered to bf16", "--precision fp32, or fp16")
    graph = inferred(model, data_prop=True)
    floats = _tensors(graph, TensorProto.FLOAT)
    whole = preprocessing(model) | _counting(model, graph) | set(kept)
    version = next(entry.version for entry in model.opset_import if not entry.domain)
    slots = {node.name: _slots(node, floats, version) for node in model.graph.node if node.name not in whole}
    lowered = {name: found for name, found in slots.items() if found}
    if not lowered:
        raise ExportError(f"no node of the opset {version} graph can be lowered to bf16", "--opset 22: convolutions take it from there on")
    return graph, lowered


def rounded_runner(path: Path) -> Run:
    """Logits of a bfloat16 graph by ONNX Runtime in fp32, each operator's result rounded to bfloat16.

    That is what a kernel gives that adds up in fp32, as those of GPUs do. Raises ExportError where ONNX Runtime can't load it.
    """
    with tempfile.TemporaryDirectory(prefix=marked("harness-")) as folder:
        file = Path(folder) / "rounded.onnx"
        onnx.save(rounded(onnx.load(str(path))), str(file), save_as_external_data=True, location="weights")
        return runner(file)


def rounded(model: ModelProto) -> ModelProto:
    """The bfloat16 graph in fp32: its weights are exact there, and every result passes through bfloat16."""
    lowered = _tensors(inferred(model, data_prop=True), TensorProto.BFLOAT16)
    del model.graph.value_info[:]
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.BFLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(_widened(tensor), tensor.name))
    casts = []
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name in lowered:
                node.output[index] = exact = f"{name}_exact"
                casts += [_cast(exact, f"{name}_rounded", TensorProto.BFLOAT16), _cast(f"{name}_rounded", name, TensorProto.FLOAT, verb="widen")]
        if node.op_type == "Cast":
            for attribute in node.attribute:
                attribute.i = TensorProto.FLOAT if attribute.i == TensorProto.BFLOAT16 else attribute.i
    model.graph.node.extend(casts)
    sort_nodes(model)
    return model


def _tensors(graph: GraphProto, kind: int) -> set[str]:
    """Names of the tensors of a type."""
    values = {value.name for value in (*graph.value_info, *graph.input, *graph.output) if value.type.tensor_type.elem_type == kind}
    return values | {tensor.name for tensor in graph.initializer if tensor.data_type == kind}


def _counting(model: ModelProto, graph: GraphProto) -> set[str]:
    """Nodes that compute with what were integers, such as sizes: 8 bits do not count far. `graph` has the types of the tensors."""
    floats, constants = _tensors(graph, TensorProto.FLOAT), {tensor.name for tensor in model.graph.initializer}
    broken = _tensors(graph, TensorProto.DOUBLE) | _tensors(graph, TensorProto.FLOAT16) | floats
    counts: set[str] = set()
    found: set[str] = set()
    for node in model.graph.node:
        given = floats & {*node.input} - constants
        if (node.op_type == "Cast" and node.input[0] not in broken) or (given and given <= counts):
            found.add(node.name)
            counts |= floats & {*node.output}
    return found


def _slots(node: NodeProto, floats: set[str], version: int) -> tuple[set[int], set[int]] | None:
    """The inputs and outputs that become bfloat16; None for a node that stays: no fp32 tensor goes in, or not all that come out may be lowered.

    What gives integers stays; only the size of a tensor is the same in both.
    """
    if node.op_type in NOT_IN_TENSORRT or node.op_type == "Cast":  # whose type is an attribute
        return None
    try:
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    except onnx.defs.SchemaError:
        return None
    able = {constraint.type_param_str for constraint in schema.type_constraints if BF16 in constraint.allowed_type_strs}
    inputs = {index for index, name in enumerate(node.input) if name in floats and _kind(schema.inputs, index) in able}
    given = {index for index, name in enumerate(node.output) if name in floats}
    outputs = {index for index in given if _kind(schema.outputs, index) in able}
    is_sound = outputs == given and (outputs or node.op_type in ("Shape", "Size"))
    return (inputs, outputs) if inputs and is_sound else None


def _kind(formals: Sequence[onnx.defs.OpSchema.FormalParameter], index: int) -> str:
    """The type variable of an input or output; the last one may stand for many."""
    return str(formals[min(index, len(formals) - 1)].type_str)


def _rewrite(graph: GraphProto, floats: set[str], lowered: dict[str, tuple[set[int], set[int]]]) -> dict[str, str]:
    """Lower the nodes, and cast between them and the others, once for each tensor. What is given in bfloat16 is called so; fp32 keeps the names.

    Returns the names of the tensors that there now are in bfloat16, by their names in fp32.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made = {node.output[index] for node in graph.node if node.name in lowered for index in lowered[node.name][1]}
    narrow: dict[str, str] = {}
    added: list[NodeProto] = []
    for node in graph.node:
        inputs, outputs = lowered.get(node.name, (set(), set()))
        for index in inputs:
            name = node.input[index]
            if name not in narrow:
                narrow[name] = f"{name}_bf16"
                if name in constants:
                    graph.initializer.append(_narrowed(constants[name], narrow[name]))
                elif name not in made:
                    added.append(_cast(name, narrow[name], TensorProto.BFLOAT16))
            node.input[index] = narrow[name]
        for index in outputs:
            narrow.setdefault(node.output[index], f"{node.output[index]}_bf16")
            node.output[index] = narrow[node.output[index]]
    read = Counter(name for node in graph.node for name in node.input) + Counter(value.name for value in graph.output)
    added += [_cast(narrow[name], name, TensorProto.FLOAT) for name in sorted(made) if read[name]]
    graph.node.extend(added)
    unread = [tensor for tensor in graph.initializer if tensor.name in floats and not read[tensor.name]]
    for tensor in unread:
        graph.initializer.remove(tensor)
    return narrow


def _declare(graph: GraphProto, values: Iterable[ValueInfoProto], narrow: Mapping[str, str]) -> None:
    """Say in the graph of which type its tensors are: onnx does not infer that of a GroupNormalization's result, nor of what follows from it.

    `values` are those of the fp32 graph.
    """
    made = {name for node in graph.node for name in node.output} - {value.name for value in graph.output}
    del graph.value_info[:]
    for value in values:
        if value.name in made:
            graph.value_info.append(value)
        if narrow.get(value.name) in made:
            graph.value_info.append(value)
            graph.value_info[-1].name = narrow[value.name]
            graph.value_info[-1].type.tensor_type.elem_type = TensorProto.BFLOAT16


def _cast(name: str, to: str, kind: int, *, verb: str = "cast") -> NodeProto:
    return helper.make_node("Cast", [name], [to], name=f"{verb}_{to}", to=kind)


def _narrowed(tensor: TensorProto, name: str) -> TensorProto:
    """The constant in bfloat16, rounded to nearest, ties to even; infinite values and NaN stay what they are."""
    values = numpy_helper.to_array(tensor)
    # By hand, since onnx before 1.19 knows no such type of numpy.
    bits = np.ascontiguousarray(values).view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    halves = np.where(np.isfinite(values), nearest, bits >> 16 | np.isnan(values).astype(np.uint32) << 6).astype("<u2")
    return TensorProto(name=name, data_type=TensorProto.BFLOAT16, dims=tensor.dims, raw_data=halves.tobytes())


def _widened(tensor: TensorProto) -> np.ndarray:
    return (np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(tuple(tensor.dims))
