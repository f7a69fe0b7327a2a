"""An fp32 ONNX graph in int8: dynamic (weights, activations scaled as they come) or static (scales from calibration tiles).

Static writes Q/DQ pairs that TensorRT's parser takes too: int8 for weights and activations, symmetric, no int32 bias. With uint8
activations, which have a zero point of their own, OpenVINO is nearer to the network on processors without VNNI, and TensorRT refuses the
graph.

Weights use 7 of the 8 bits unless all are asked for: x86 processors without VNNI add two products of a uint8 and an int8 in 16 bits
(VPMADDUBSW), which saturates with 8, and not with 7 since 2 * 255 * 64 < 32,768. See ONNX Runtime's `reduce_range` and OpenVINO's page on
the saturation issue.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx

from harness.core.errors import ExportError
from harness.support.export_data import Tiles

PERCENTILE = 99.99
#: Bits of a weight that no processor's sums overflow with.
REDUCED = 7
#: Nodes with weights; the rest stays in fp32.
DYNAMIC_OPS = ("MatMul", "Gemm")
STATIC_OPS = ("MatMul", "Gemm", "Conv")


class _Feed:
    """The calibration tiles one at a time, in ranges, as ONNX Runtime's calibrators read them."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        self._name, self._images = name, images
        self._left = iter(range(len(images)))

    def __len__(self) -> int:
        return len(self._images)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(range(start_index, end_index))

    def get_next(self) -> dict[str, np.ndarray]:
        return next(({self._name: self._images[index][None]} for index in self._left), {})


def dynamic_nodes(model: onnx.ModelProto) -> list[str]:
    """The nodes that become int8 with dynamic scales: one side of the product is a weight."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type in DYNAMIC_OPS and weights & set(node.input)]


def static_nodes(model: onnx.ModelProto) -> list[str]:
    """The nodes that become int8 with calibrated scales."""
    return [node.name for node in model.graph.node if node.op_type in STATIC_OPS]


def to_int8_dynamic(source: Path, target: Path, *, per_channel: bool, weight_bits: int = 7, kept: Collection[str] = (), external: bool = False) -> int:
    """Write `source` with int8 weights in MatMul and Gemm, the nodes `kept` apart. Returns how many are int8; raises ExportError when none is."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            _without_shapes(source),
            str(target),
            op_types_to_quantize=list(DYNAMIC_OPS),
            per_channel=per_channel,
            reduce_range=weight_bits == REDUCED,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(kept),
            use_external_data_format=external,
        )
    return _require_quantized(target, "MatMulInteger", f"no {' or '.join(DYNAMIC_OPS)} with weights", "--precision int8-static, which quantizes convolutions")


def to_int8_static(
    source: Path, target: Path, tiles: Tiles, *, method: str, per_channel: bool, activations: str = "int8", weight_bits: int = 7,
    kept: Collection[str] = (), ranges: Path | None = None, external: bool = False,
) -> int:  # fmt: skip
    """Write `source` with Q/DQ pairs around MatMul, Gemm and Conv, the nodes `kept` apart. Returns how many quantized inputs there are.

    The calibrators see one tile at a time, so memory does not grow with their number. The file `ranges` keeps what they found for the
    next call with the same source, tiles and method.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    chosen = {"minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy, "percentile": CalibrationMethod.Percentile}[method]
    model = _without_shapes(source)
    # Older releases can't keep ranges: there each call calibrates anew.
    remembers = {"calibration_cache_path": ranges} if ranges and "calibration_cache_path" in inspect.signature(quantize_static).parameters else {}
    with _quiet():
        quantize_static(
            model,
            str(target),
            _Feed(model.graph.input[0].name, tiles.images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(STATIC_OPS),
            per_channel=per_channel,
            reduce_range=weight_bits == REDUCED,
            activation_type=QuantType.QInt8 if activations == "int8" else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(kept),
            calibrate_method=chosen,
            use_external_data_format=external,
            extra_options={
                "ActivationSymmetric": activations == "int8",
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "DedicatedQDQPair": True,
                "CalibStridedMinMax": 1,
                "CalibPercentile": PERCENTILE,
            },
            **remembers,
        )
    return _require_quantized(target, "QuantizeLinear", f"no {', '.join(STATIC_OPS)}", "--precision fp16")


def _without_shapes(source: Path) -> onnx.ModelProto:
    """The model without the exporter's own shapes: the quantizer mixes them up with those that it infers."""
    model = onnx.load(str(source))
    del model.graph.value_info[:]
    return model


def _require_quantized(target: Path, operator: str, lack: str, hint: str) -> int:
    count: int = sum(node.op_type == operator for node in onnx.load(str(target), load_external_data=False).graph.node)
    if not count:
        raise ExportError(f"nothing to quantize: the graph has {lack}", hint)
    return count


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer logs advice on the root logger, and its calibrators print."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
