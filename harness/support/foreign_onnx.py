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
#: Bytes of the widest type, and the most that a writer leaves free to begin a constant on a page.
MOST_PER_VALUE, ALIGNMENT = 16, 2**16
_QUANTIZED = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"})


def read_onnx(path: Path) -> FileFacts:
    """Inputs, outputs, parameters, precision and the files of external weights.

    Raises MeasurementError for a file that is no ONNX graph, for sizes below 0, and for weights that are outside its folder, missing, cut
    short or in a file far larger than they are, which would be read as a whole.
    """
    model = read_wire(path)
    if not model.nodes:
        raise MeasurementError(f"{path} is not an ONNX model: it holds no node")
    for tensor in model.tensors:
        if any(side < 0 for side in tensor.sides):
            raise MeasurementError(f"{path}: the constant {tensor.name} has the shape {'x'.join(map(str, tensor.sides))}", "export it again")
    return FileFacts(
        inputs=tuple(_spec(path, value) for value in model.inputs if value.name not in model.weights),
        outputs=tuple(_spec(path, value) for value in model.outputs),
        parameters=sum(math.prod(tensor.sides) for tensor in model.tensors if tensor.kind in _FLOATS or tensor.kind == _INT8),
        precision=_precision(model),
        files=_external_files(path, model.tensors),
        facts={"opset": model.opsets, "ir_version": model.ir_version, "producer": model.producer},
    )


def _spec(path: Path, value: WireValue) -> TensorSpec:
    """A side without a name or a size becomes "?", and -1, which runtimes take for that too. Raises MeasurementError for any other below 0."""
    shape = tuple("?" if side in (0, -1, "") else side for side in value.sides)
    if any(isinstance(side, int) and side < 0 for side in shape):
        raise MeasurementError(f"{path}: {value.name} has the shape {'x'.join(map(str, value.sides))}", "export it again")
    return TensorSpec(name=value.name, shape=shape, dtype=_DTYPES.get(value.kind, "unknown"))


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
    """Files of external weights. Raises MeasurementError for one that is not a whole file of their size within the model's folder."""
    home = path.parent.resolve()
    most: dict[Path, int] = {}
    for tensor in tensors:
        if not tensor.external:
            continue
        location = tensor.external.get("location", "")
        file = _resolved(home, location)
        if file is None:
            raise MeasurementError(f"{path}: the weights of {tensor.name} lie in {location[:80]!r}, which no file can be called; refused")
        if not location or Path(location).is_absolute() or not file.is_relative_to(home):
            raise MeasurementError(f"{path}: the weights of {tensor.name} lie outside its folder, at {location!r}; refused", "put them beside the model")
        if not file.is_file():
            raise MeasurementError(f"{path}: the weights of {tensor.name} should lie in {location}, which is not there", "put the file beside the model")
        end = _whole(tensor.external.get("offset")) + _whole(tensor.external.get("length"))
        if end > file.stat().st_size:
            raise MeasurementError(f"{file} has {file.stat().st_size} bytes, and {tensor.name} should end at {end}", "copy the file again")
        most[file] = most.get(file, 0) + MOST_PER_VALUE * math.prod(tensor.sides) + ALIGNMENT
    for file, size in most.items():
        if file.stat().st_size > size:
            raise MeasurementError(f"{file} has {file.stat().st_size} bytes, and what {path.name} says lies there takes at most {size}; refused")
    return tuple(most)


def _resolved(home: Path, location: str) -> Path | None:
    """None for what the system takes for no path: too long, a NUL in it, a loop of links."""
    try:
        file = (home / location).resolve()
        file.is_file()
    except (OSError, ValueError, RuntimeError):
        return None
    return file


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0
