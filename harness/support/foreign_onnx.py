"""What an ONNX file says of itself, read without running it and without reading weights outside its folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto

from harness.core.errors import MeasurementError
from harness.core.specs import TensorSpec
from harness.support.foreign_facts import FileFacts

_FLOATS: dict[int, str] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16", TensorProto.DOUBLE: "fp64"}
_QUANTIZED = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"})


def read_onnx(path: Path) -> FileFacts:
    """Inputs, outputs, parameters, precision and the files of external weights.

    Raises MeasurementError for a file that is no ONNX graph, and for weights that are outside its folder, missing or cut short.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise MeasurementError(f"{path} is not a readable ONNX file: {error}", "onnx.checker.check_model says what is wrong") from error
    if not model.graph.node:
        raise MeasurementError(f"{path} is not an ONNX model: it holds no node")
    tensors = list(_tensors(model.graph))
    weights = {tensor.name for tensor in model.graph.initializer}
    return FileFacts(
        inputs=tuple(_spec(value) for value in model.graph.input if value.name not in weights),
        outputs=tuple(_spec(value) for value in model.graph.output),
        parameters=sum(math.prod(tensor.dims) for tensor in tensors if tensor.data_type in _FLOATS or tensor.data_type == TensorProto.INT8),
        precision=_precision(model, tensors),
        files=_external_files(path, tensors),
        facts={
            "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
            "ir_version": model.ir_version,
            "producer": f"{model.producer_name} {model.producer_version}".strip(),
        },
    )


def _spec(value: ValueInfoProto) -> TensorSpec:
    """A side without a name or a size becomes "?"."""
    kind = value.type.tensor_type
    sides = [dimension.dim_value if dimension.HasField("dim_value") else dimension.dim_param or "?" for dimension in kind.shape.dim]
    return TensorSpec(name=value.name, shape=tuple(side if side != 0 else "?" for side in sides), dtype=_dtype(kind.elem_type))


def _dtype(code: int) -> str:
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(code))
    except KeyError:
        return "unknown"


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every constant tensor, those in nodes and in subgraphs too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
            for part in (attribute.g, *attribute.graphs):
                yield from _tensors(part) if part.node else ()


def _precision(model: ModelProto, tensors: list[TensorProto]) -> str:
    """int8 for a quantized graph, else the type of most weights."""
    if any(node.op_type in _QUANTIZED for node in model.graph.node):
        return "int8"
    counts: dict[str, int] = {}
    for tensor in tensors:
        name = _FLOATS.get(int(tensor.data_type))
        if name:
            counts[name] = counts.get(name, 0) + math.prod(tensor.dims)
    return max(counts, key=counts.__getitem__, default="fp32")


def _external_files(path: Path, tensors: list[TensorProto]) -> tuple[Path, ...]:
    """Files of external weights. Raises MeasurementError for one that is not a whole file within the model's folder."""
    home = path.parent.resolve()
    found: dict[Path, None] = {}
    for tensor in tensors:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        file = (home / location).resolve()
        if not location or Path(location).is_absolute() or not file.is_relative_to(home):
            raise MeasurementError(f"{path}: the weights of {tensor.name} lie outside its folder, at {location!r}; refused", "put them beside the model")
        if not file.is_file():
            raise MeasurementError(f"{path}: the weights of {tensor.name} should lie in {location}, which is not there", "put the file beside the model")
        end = _whole(entries.get("offset")) + _whole(entries.get("length"))
        if end > file.stat().st_size:
            raise MeasurementError(f"{file} has {file.stat().st_size} bytes, and {tensor.name} should end at {end}", "copy the file again")
        found[file] = None
    return tuple(found)


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0
