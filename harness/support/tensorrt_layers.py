"""Time and FLOP per layer of a TensorRT engine: its profiler's times, its inspector's facts, put back to the module that each came from.

The inspector writes the ONNX nodes of a layer as "[ONNX Layer: NAME]" into its metadata, where the engine was built with detailed verbosity,
as ours are. FLOP are those of these nodes in the ONNX graph; a layer that names none has no FLOP known, unless it only moves data.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.layers import Layer
from harness.support.onnx_origin import Origin

SOURCE = "TensorRT's profiler, layer by layer, which waits between layers"
_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
#: Layers that move or convert, as the inspector names their kind.
_MOVES = frozenset({"Reformat", "NoOp", "Constant", "Shuffle", "Slice", "Concatenation", "Cast", "ShapeCall", "Signal", "Wait"})
_BYTES = (("FP32", 4), ("Float", 4), ("FP16", 2), ("Half", 2), ("BF16", 2), ("INT8", 1), ("Int8", 1), ("FP8", 1), ("INT32", 4), ("Int32", 4), ("INT64", 8))


def layers_from_inspector(text: str, seconds: Mapping[str, Sequence[float]], origin: Origin, batch: int) -> tuple[Layer, ...]:
    """One row per layer that the profiler timed, in its order. `text`: the engine's information as JSON; `seconds`: per layer, a time per run."""
    facts = {entry["Name"]: entry for entry in json.loads(text)["Layers"] if isinstance(entry, dict)}
    return tuple(_layer(name, statistics.median(times), facts.get(name, {}), origin, batch) for name, times in seconds.items())


def profiler() -> Any:
    """A profiler that keeps the seconds of every call per layer in `seconds`."""
    import tensorrt as trt

    class Kept(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.seconds: dict[str, list[float]] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.seconds.setdefault(layer_name, []).append(ms / 1e3)

    return Kept()


def information(engine: Any) -> str:
    """What the engine's inspector says of all layers, as JSON."""
    import tensorrt as trt

    return str(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


def _layer(name: str, seconds: float, facts: Mapping[str, Any], origin: Origin, batch: int) -> Layer:
    nodes = list(dict.fromkeys(_NODE.findall(str(facts.get("Metadata", "")))))
    kind = str(facts.get("LayerType", "unknown"))
    flops = origin.flops_of(nodes, batch)
    return Layer(
        path=origin.path_of(nodes) or name,
        kind=kind,
        seconds=seconds,
        flops=0 if flops is None and not nodes and kind in _MOVES else flops,
        output_bytes=sum(_bytes(value) for value in facts.get("Outputs", ())) or None,
    )


def _bytes(value: Mapping[str, Any]) -> int:
    said = str(value.get("Format/Datatype", ""))
    size = next((count for word, count in _BYTES if word in said), 4)
    return size * math.prod(int(side) for side in value.get("Dimensions", ()))
