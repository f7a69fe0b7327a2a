"""An fp32 ONNX graph in fp16, with in fp32 what would leave the range of fp16 and what works on raw pixels.

Ranges are found by running: the largest magnitude of every float tensor of the fp32 graph over given tiles.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from harness.core.errors import ExportError
from harness.core.leftovers import marked
from harness.support.export_data import Tiles

#: Half of the largest fp16 (65,504): tiles that were not seen may be larger.
LARGEST = 32_752.0
#: Smallest positive fp16; a constant below it would become 0, for example the epsilon of a normalization.
SMALLEST = 2.0**-24
#: What may lie between the raw pixels and the first weights: normalization and the arrangement of bands.
_ELEMENTWISE = frozenset({"Sub", "Div", "Mul", "Add", "Slice", "Gather", "Concat", "Pad", "Identity", "Split", "Cast", "Expand"})
_PROBE = "harness_largest_"
#: A constant of more values is no shape, so what they are tells nothing of types.
LARGE = 2**16


def to_fp16(source: Path, target: Path, largest: Mapping[str, float], *, kept: Collection[str] = (), external: bool = False) -> list[str]:
    """Write `source` in fp16 with fp32 inputs and outputs. Returns the names of the nodes that stay in fp32: `kept`, and what fp16 can't hold.

    `largest` are the `largest_values` of the source.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(str(source))
    name_nodes(model)
    whole = sorted(preprocessing(model) | _out_of_range(model, largest) | set(kept))
    del model.graph.value_info[:]
    model.graph.value_info.extend(inferred(model).value_info)
    half = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True, node_block_list=whole)
    _drop_copies(half)
    _drop_round_trips(half)
    sort_nodes(half)
    onnx.save(half, str(target), save_as_external_data=external, location=f"{target.name}.data")
    return whole


def largest_values(source: Path, tiles: Tiles) -> dict[str, float]:
    """The largest magnitude of each float tensor of the graph over the tiles."""
    import tempfile

    import onnxruntime

    model = onnx.load(str(source))
    names = _add_probes(model)
    with tempfile.TemporaryDirectory(prefix=marked("harness-")) as folder:
        path = Path(folder) / "probed.onnx"
        onnx.save(model, str(path), save_as_external_data=True, location="weights")
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        wanted = [_PROBE + name for name in names]
        seen = [session.run(wanted, {session.get_inputs()[0].name: image[None]}) for image in tiles.images]
    found = np.asarray(seen, np.float64).max(axis=0)
    if not np.isfinite(found).all():
        raise ExportError(f"tensor {names[int(np.argmax(~np.isfinite(found)))]} of the fp32 graph is NaN or infinite on a val tile", "train it again")
    return {**dict(zip(names, map(float, found), strict=True)), session.get_inputs()[0].name: float(np.abs(tiles.images).max())}


def _add_probes(model: ModelProto) -> list[str]:
    """Make max |x| of every float tensor that a node gives an output of the graph. Returns the tensors' names."""
    graph = inferred(model)
    floats = {value.name for value in (*graph.value_info, *graph.output) if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    names = [name for node in model.graph.node for name in node.output if name in floats]
    for name in names:
        model.graph.node.append(helper.make_node("Abs", [name], [f"{_PROBE}abs_{name}"]))
        model.graph.node.append(helper.make_node("ReduceMax", [f"{_PROBE}abs_{name}"], [_PROBE + name], keepdims=0))
        model.graph.output.append(helper.make_tensor_value_info(_PROBE + name, TensorProto.FLOAT, []))
    return names


def inferred(model: ModelProto, *, data_prop: bool = False) -> GraphProto:
    """The graph with the types of its tensors, and without the values of its large constants: onnx infers no more than 2 GiB at once."""
    bare = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    bare.graph.name = model.graph.name
    for field in ("node", "input", "output", "value_info"):
        getattr(bare.graph, field).extend(getattr(model.graph, field))
    for tensor in model.graph.initializer:
        is_large = math.prod(tensor.dims) > LARGE
        bare.graph.initializer.append(TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims) if is_large else tensor)
    return onnx.shape_inference.infer_shapes(bare, data_prop=data_prop).graph


def name_nodes(model: ModelProto) -> None:
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"


def preprocessing(model: ModelProto) -> set[str]:
    """Nodes between the raw pixels and the first weights: fp16 keeps 11 bits of a pixel, fewer than many sensors give."""
    reached = {value.name for value in model.graph.input}
    found: set[str] = set()
    for node in model.graph.node:
        if node.op_type in _ELEMENTWISE and reached & set(node.input):
            found.add(node.name)
            reached |= set(node.output)
    return found


def _out_of_range(model: ModelProto, largest: Mapping[str, float]) -> set[str]:
    """Nodes that read or give a value outside fp16, or a constant that fp16 would make 0 or infinite."""
    odd = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT and _is_odd(numpy_helper.to_array(tensor))}
    odd |= {node.output[0] for node in model.graph.node if node.op_type == "Constant" and _is_odd_constant(node)}
    odd |= {name for name, value in largest.items() if value > LARGEST}
    return {node.name for node in model.graph.node if odd & {*node.input, *node.output}}


def _is_odd(values: np.ndarray) -> bool:
    size = np.abs(values)
    return bool(values.size and (size.max() > LARGEST or (values.size == 1 and 0 < size.max() < SMALLEST)))


def _is_odd_constant(node: NodeProto) -> bool:
    return any(item.name == "value" and item.t.data_type == TensorProto.FLOAT and _is_odd(numpy_helper.to_array(item.t)) for item in node.attribute)


def _drop_copies(model: ModelProto) -> None:
    """Where several nodes in fp32 read a tensor, the converter casts it for each of them, under one name: keep one cast."""
    made: set[str] = set()
    copies = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.output[0] in made:
            copies.append(node)
        made |= {*node.output}
    for node in copies:
        model.graph.node.remove(node)


def _drop_round_trips(model: ModelProto) -> None:
    """Between two nodes in fp32 the converter casts to fp16 and back, which would overflow after all: read the first one's fp32 instead."""
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast"}
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            back = casts.get(name)
            down = casts.get(back.input[0]) if back is not None else None
            if back is not None and down is not None and _type_of(back) == TensorProto.FLOAT and _type_of(down) == TensorProto.FLOAT16:
                node.input[index] = down.input[0]
    while unused := _unused_casts(model):
        for node in unused:
            model.graph.node.remove(node)


def _unused_casts(model: ModelProto) -> list[NodeProto]:
    used = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    return [node for node in model.graph.node if node.op_type == "Cast" and not used & set(node.output)]


def _type_of(cast: NodeProto) -> int:
    return next(int(item.i) for item in cast.attribute if item.name == "to")


def sort_nodes(model: ModelProto) -> None:
    """Nodes in an order in which each comes after those that it reads: the format asks for it, the converter appends its casts."""
    waiting = list(model.graph.node)
    made = {name for node in waiting for name in node.output}
    ready: set[str] = {""}
    order: list[NodeProto] = []
    while waiting:
        able = [node for node in waiting if all(name in ready or name not in made for name in node.input)]
        if not able:
            raise ExportError("the graph has a cycle", "--precision fp32")
        taken = {id(node) for node in able}
        order += able
        ready |= {name for node in able for name in node.output}
        waiting = [node for node in waiting if id(node) not in taken]
    del model.graph.node[:]
    model.graph.node.extend(order)
