"""An fp32 ONNX graph in int8: dynamic (weights, activations scaled as they come) or static (scales from calibration tiles).

Static writes Q/DQ pairs that TensorRT's parser takes too: int8 for weights and activations, symmetric, no int32 bias. With uint8
activations, which have a zero point of their own, ONNX Runtime is faster on processors without VNNI, and TensorRT refuses the graph.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from harness.core.errors import ExportError
from harness.support.export_data import Tiles

PERCENTILE = 99.99
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


def to_int8_dynamic(source: Path, target: Path, *, per_channel: bool, external: bool = False) -> int:
    """Write `source` with int8 weights in MatMul and Gemm. Returns how many nodes are int8; raises ExportError when none is."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            _without_shapes(source),
            str(target),
            op_types_to_quantize=list(DYNAMIC_OPS),
            per_channel=per_channel,
            weight_type=QuantType.QInt8,
            use_external_data_format=external,
        )
    return _require_quantized(target, "MatMulInteger", f"no {' or '.join(DYNAMIC_OPS)} with weights", "--precision int8-static, which quantizes convolutions")


def to_int8_static(source: Path, target: Path, tiles: Tiles, *, method: str, per_channel: bool, activations: str = "int8", external: bool = False) -> int:
    """Write `source` with Q/DQ pairs around MatMul, Gemm and Conv. Returns how many quantized inputs there are.

    The calibrators see one tile at a time, so memory does not grow with their number.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    chosen = {"minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy, "percentile": CalibrationMethod.Percentile}[method]
    model = _without_shapes(source)
    with _quiet():
        quantize_static(
            model,
            str(target),
            _Feed(model.graph.input[0].name, tiles.images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(STATIC_OPS),
            per_channel=per_channel,
            activation_type=QuantType.QInt8 if activations == "int8" else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
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
    """The quantizer logs advice on the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
