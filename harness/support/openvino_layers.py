"""Time and FLOP per executed node of a compiled OpenVINO model, put back to the module that each came from.

Times are OpenVINO's own counters, in whole microseconds. A node lists the nodes of the graph that were fused into it; FLOP are those of
these nodes in the ONNX graph, else follow from the shapes that ran.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.core.layers import Layer
from harness.support.onnx_origin import Origin

if TYPE_CHECKING:
    import openvino

SOURCE = "OpenVINO's counters of executed nodes"
#: Counters on; counting makes a call slower than it is.
COUNTERS = {"PERF_COUNT": True}
#: What OpenVINO adds to a name where it cuts a node into several.
_CUTS = ("/WithoutBiases", "/fq_weights_1", "/transpose_b")
#: Kinds of executed nodes that compute, as OpenVINO names them.
_COMPUTE = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul", "GatherMatmul", "BinaryConvolution", "DeformableConvolution"})
#: Kinds that may hold products fused into them.
_MAY_COMPUTE = frozenset({"Subgraph", "ScaledDotProductAttention", "RoPE", "LLMMLP", "QKVProjection", "RNNCell", "RNNSeq"})


def layers_of(model: openvino.CompiledModel, inputs: Sequence[np.ndarray], origin: Origin, *, runs: int) -> tuple[Layer, ...]:
    """One row per node that was executed, in the order of execution; medians over `runs` calls after the first."""
    request = model.create_infer_request()
    seconds: dict[str, list[float]] = {}
    for run in range(runs + 1):
        request.infer(list(inputs))
        for counter in request.get_profiling_info() if run else ():
            if counter.status == counter.Status.EXECUTED:
                seconds.setdefault(counter.node_name, []).append(counter.real_time.total_seconds())
    nodes = sorted(model.get_runtime_model().get_ordered_ops(), key=lambda node: int(_fact(node, "execOrder") or 0))
    ran = [node for node in nodes if node.get_friendly_name() in seconds]
    flops = _flops(ran, origin, len(inputs[0]))
    return tuple(_layer(node, statistics.median(seconds[node.get_friendly_name()]), count, origin) for node, count in zip(ran, flops, strict=True))


def _flops(nodes: Sequence[Any], origin: Origin, batch: int) -> list[int | None]:
    """FLOP of each: a node of the graph that became several counts for the one that computes."""
    claimed: set[str] = set()
    counts: dict[int, int | None] = {}
    for index, node in sorted(enumerate(nodes), key=lambda item: _fact(item[1], "layerType") not in _COMPUTE):
        kind, names = _fact(node, "layerType"), _originals(node)
        if kind not in _COMPUTE | _MAY_COMPUTE:
            counts[index] = 0
            continue
        left = [name for name in names if name not in claimed]
        claimed.update(left)
        counts[index] = origin.flops_of(left, batch) if left or kind in _COMPUTE else 0
        if counts[index] is None and kind in _COMPUTE:
            counts[index] = flops_of_shapes(kind, [_shape(value) for value in node.inputs()], [_shape(value) for value in node.outputs()])
    return [counts[index] for index in range(len(nodes))]


def _layer(node: Any, seconds: float, flops: int | None, origin: Origin) -> Layer:
    return Layer(
        path=origin.path_of(_originals(node)) or _module_of_weight(node) or node.get_friendly_name(),
        kind=_fact(node, "layerType"),
        seconds=seconds,
        flops=flops,
        output_bytes=sum(math.prod(shape) * value.get_element_type().size for value in node.outputs() if (shape := _shape(value))),
    )


def _originals(node: Any) -> list[str]:
    """The names in the graph of what this node does, each once."""
    return list(dict.fromkeys(_uncut(name) for name in _fact(node, "originalLayersNames").split(",") if name))


def flops_of_shapes(kind: str, inputs: Sequence[tuple[int, ...]], outputs: Sequence[tuple[int, ...]]) -> int | None:
    """2 per multiply-add; None where a shape is not known. Weights of a grouped convolution have the groups first."""
    if len(inputs) < 2 or not inputs[0] or not inputs[1] or not outputs[0]:
        return None
    if kind == "Convolution":
        return 2 * math.prod(outputs[0]) * math.prod(inputs[1]) // outputs[0][1]
    if kind == "Deconvolution":
        return 2 * math.prod(inputs[0]) * math.prod(inputs[1]) // inputs[0][1]
    return 2 * math.prod(outputs[0]) * inputs[0][-1] if kind in ("FullyConnected", "MatMul") else None


def _module_of_weight(node: Any) -> str:
    """The module that a weight's name says, for a file without its ONNX graph: "encoder.conv1.weight" is of encoder.conv1."""
    for value in node.inputs():
        source = value.get_source_output().get_node()
        name = source.get_friendly_name()
        if _fact(source, "layerType") == "Const" and name.startswith(("encoder.", "decoder.")):
            return str(name.rpartition(".")[0])
    return ""


def _uncut(name: str) -> str:
    for ending in _CUTS:
        name = name.removesuffix(ending)
    return name


def _fact(node: Any, key: str) -> str:
    info: Mapping[str, Any] = node.rt_info
    return str(info[key].value if hasattr(info[key], "value") else info[key]) if key in info else ""


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.get_shape()) if value.get_partial_shape().is_static else ()
