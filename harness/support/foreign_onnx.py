"""What an ONNX file says of itself, read without running it and without reading weights outside its folder."""

from __future__ import annotations

import math
from pathlib import Path

from harness.core.errors import MeasurementError
from harness.core.specs import TensorSpec
from harness.support.foreign_facts import FileFacts
from harness.support.onnx_wire import WireModel, WireTensor, WireValue, read_wire

#: TensorProto.DataType of onnx.proto by number.
_DTYPES = dict(
    enumerate(
        "float32 uint8 int8 uint16 int16 int32 int64 object bool float16 float64 uint32 uint64 complex64 complex128 bfloat16".split(),  # noqa: SIM905
        start=1,
    )
)
_FLOATS = {1: "fp32", 10: "fp16", 16: "bf16", 11: "fp64"}
_INT8 = 3
_QUANTIZED = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"})


def read_onnx(path: Path) -> FileFacts:
    """Inputs, outputs, parameters, precision and the files of external weights.

    Raises MeasurementError for a file that is no ONNX graph, and for weights that are outside its folder, missing or cut short.
    """
    model = read_wire(path)
    if not model.nodes:
        raise MeasurementError(f"{path} is not an ONNX model: it holds no node")
    return FileFacts(
        inputs=tuple(_spec(value) for value in model.inputs if value.name not in model.weights),
        outputs=tuple(_spec(value) for value in model.outputs),
        parameters=sum(math.prod(tensor.sides) for tensor in model.tensors if tensor.kind in _FLOATS or tensor.kind == _INT8),
        precision=_precision(model),
        files=_external_files(path, model.tensors),
        facts={"opset": model.opsets, "ir_version": model.ir_version, "producer": model.producer},
    )


def _spec(value: WireValue) -> TensorSpec:
    """A side without a name or a size becomes "?"."""
    return TensorSpec(name=value.name, shape=tuple(side or "?" for side in value.sides), dtype=_DTYPES.get(value.kind, "unknown"))


def _precision(model: WireModel) -> str:
    """int8 for a quantized graph, else the type of most weights."""
    if model.operators & _QUANTIZED:
        return "int8"
    counts: dict[str, int] = {}
    for tensor in model.tensors:
        name = _FLOATS.get(tensor.kind)
        if name:
            counts[name] = counts.get(name, 0) + math.prod(tensor.sides)
    return max(counts, key=counts.__getitem__, default="fp32")


def _external_files(path: Path, tensors: tuple[WireTensor, ...]) -> tuple[Path, ...]:
    """Files of external weights. Raises MeasurementError for one that is not a whole file within the model's folder."""
    home = path.parent.resolve()
    found: dict[Path, None] = {}
    for tensor in tensors:
        if not tensor.external:
            continue
        location = tensor.external.get("location", "")
        file = (home / location).resolve()
        if not location or Path(location).is_absolute() or not file.is_relative_to(home):
            raise MeasurementError(f"{path}: the weights of {tensor.name} lie outside its folder, at {location!r}; refused", "put them beside the model")
        if not file.is_file():
            raise MeasurementError(f"{path}: the weights of {tensor.name} should lie in {location}, which is not there", "put the file beside the model")
        end = _whole(tensor.external.get("offset")) + _whole(tensor.external.get("length"))
        if end > file.stat().st_size:
            raise MeasurementError(f"{file} has {file.stat().st_size} bytes, and {tensor.name} should end at {end}", "copy the file again")
        found[file] = None
    return tuple(found)


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0
