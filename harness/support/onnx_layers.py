"""Time and FLOP per fused node from ONNX Runtime's own trace, put back to the module that each node came from.

The optimizer renames what it fuses: a fused node has the name of the tensor that it gives, or that name with "_nchwc", or a node's name before a
slash. They are looked up in the graph as exported, where PyTorch's exporter wrote the module's path beside every node; what quantization adds is
named after the tensor that it converts. FLOP are those of the shapes that ran: channels that the optimizer adds to fill a block of 8 or 16 are
counted, since they are computed.
"""

from __future__ import annotations

import ast
import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from harness.core.layers import Layer, part_of
from harness.support.graph_flops import NOT_COUNTED

SOURCE = "ONNX Runtime's trace of nodes after optimization"
SCOPES = "pkg.torch.onnx.name_scopes"
#: What the optimizer and quantization add to the name that a node had, or to that of the tensor that it converts.
_ADDED = re.compile(r"_nchwc$|/.*$|_token_\d+$|_(?:Dequantize|Quantize)Linear$|_bias_dq$")
#: Nodes of the optimizer's own that compute nothing that counts: they change layouts and types, or are element by element.
_MOVES = frozenset(
    """BiasGelu FastGelu MemcpyFromHost MemcpyToHost QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul
    QLinearReduceMean QLinearSigmoid QLinearSoftmax QuickGelu ReorderInput ReorderOutput SkipLayerNormalization""".split()  # noqa: SIM905
)


def layers_from_trace(trace: Path, model: Path, *, runs: int) -> tuple[Layer, ...]:
    """One row per node in the order in which they ran; the first run of the trace is left out."""
    events = [event for event in json.loads(trace.read_text()) if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    paths, weights = module_paths(model), _weights(model)
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in events:
        rows.setdefault((event["args"].get("node_index"), event["name"]), []).append(event)
    return tuple(_layer(found[-runs:], paths, weights) for found in rows.values())


def module_paths(model: Path) -> dict[str, str]:
    """The module's path by the name of each node and of each tensor that a node gives."""
    paths: dict[str, str] = {}
    for node in onnx.load(str(model), load_external_data=False).graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "")
        path = _deepest(scopes)
        if path:
            paths.update(dict.fromkeys((node.name, *node.output), path))
    return paths


def _deepest(scopes: str) -> str:
    """The innermost module of a list such as "['', 'encoder', 'encoder.conv', 'conv2d']", whose last entry is the operation."""
    try:
        names = ast.literal_eval(scopes)
    except (SyntaxError, ValueError):
        return ""
    path = str(names[-2]) if isinstance(names, list) and len(names) > 1 else ""
    return "" if path.startswith("_") else path  # what the exporter did by itself is in no module


def _weights(model: Path) -> dict[str, list[int]]:
    """The shape of a convolution's weight by the name of the node and of its output: the trace leaves out weights that were packed."""
    graph = onnx.load(str(model), load_external_data=False).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    shapes |= {node.output[0]: shapes[node.input[0]] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in shapes}
    convolutions = [node for node in graph.node if "Conv" in node.op_type and len(node.input) > 1]
    return {name: shapes[node.input[1]] for node in convolutions for name in (node.name, *node.output) if node.input[1] in shapes}


def _layer(events: Sequence[Mapping[str, Any]], paths: Mapping[str, str], weights: Mapping[str, list[int]]) -> Layer:
    facts, name = events[0]["args"], str(events[0]["name"]).removesuffix("_kernel_time")
    names = _names(name)
    inputs = _shapes(facts, "input_type_shape")
    weight = next((weights[one] for one in names if one in weights), None)
    if weight is not None and (len(inputs) < 2 or len(inputs[1]) < len(weight)):
        inputs = [inputs[0], weight]
    return Layer(
        path=next((paths[one] for one in names if one in paths), _module_of_weight(names[-1]) or name),
        kind=facts["op_name"],
        seconds=statistics.median(event["dur"] for event in events) / 1e6,
        flops=_flops(facts["op_name"], inputs, _shapes(facts, "output_type_shape")),
        output_bytes=int(facts.get("output_size") or 0),
    )


def _names(name: str) -> list[str]:
    """The name, and what it may have been before the optimizer and quantization added to it, the longest first."""
    found = [name]
    while (shorter := _ADDED.sub("", found[-1])) != found[-1]:
        found.append(shorter)
    return found


def _module_of_weight(name: str) -> str:
    """The module of a weight that is converted in every call, such as "encoder.fc" for "encoder.fc.weight"; "" for another name."""
    return name.rpartition(".")[0] if part_of(name) != "other" else ""


def _shapes(facts: Mapping[str, Any], key: str) -> list[list[int]]:
    return [next(iter(entry.values()), []) for entry in facts.get(key, [])]


def _flops(kind: str, inputs: list[list[int]], outputs: list[list[int]]) -> int | None:
    """2 per multiply-add of what counts as compute; 0 for what does not, None for a fused node without a rule."""
    if "ConvTranspose" in kind:
        if len(inputs) < 2 or len(inputs[1]) < 3:
            return None
        return 2 * math.prod(inputs[1][1:]) * math.prod(inputs[0])
    if kind in ("Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"):
        if len(inputs) < 2 or len(inputs[1]) < 3 or not outputs:
            return None
        return 2 * math.prod(inputs[1][1:]) * math.prod(outputs[0])
    if (
        kind in ("MatMul", "FusedMatMul", "Gemm", "FusedGemm", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QLinearMatMul")
        and inputs
        and outputs
    ):
        inner = _inner(kind, inputs[0], outputs[0])
        return None if inner is None else 2 * math.prod(outputs[0]) * inner
    return 0 if kind in NOT_COUNTED or kind in _MOVES else None


def _inner(kind: str, first: list[int], output: list[int]) -> int | None:
    """The length of the sums of a product. A fused one may take its first factor transposed, which only the shapes tell: (..., K, M), not (..., M, K)."""
    if kind.endswith("Gemm"):
        return math.prod(first) // (math.prod(output[:-1]) or 1)
    if kind == "FusedMatMul" and len(first) > 1 and len(output) > 1 and first[-2] != output[-2]:
        return first[-2] if first[-1] == output[-2] else None
    return first[-1] if first else None
