"""What an ONNX file says of itself, read from its bytes without the package onnx: a light install has none.

Walks the Protocol Buffers wire format (protobuf.dev, "Encoding") by the field numbers of onnx.proto; weights inside the file are
skipped, not read.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import MeasurementError

EXTERNAL = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
#: A field's value: a number, or where its bytes begin and end.
_Span = tuple[int, int]
_Fields = dict[int, list[int | _Span]]
#: Message to field number to message, along the ways that lead to nodes and constant tensors.
_WAYS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {5: "tensor", 15: "sparse", 1: "node"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}


@dataclass(frozen=True)
class WireTensor:
    """A constant; `external` says where its values lie if not in the file, {} if in it."""

    name: str
    sides: tuple[int, ...]
    kind: int
    external: dict[str, str]


@dataclass(frozen=True)
class WireValue:
    """An input or output of the graph; a side is its size, its name, or "" where neither is known."""

    name: str
    kind: int
    sides: tuple[int | str, ...]


@dataclass(frozen=True)
class WireModel:
    """`nodes`: of the main graph; `operators`: those of its nodes; `weights`: names of its initializers."""

    ir_version: int
    producer: str
    opsets: dict[str, int]
    inputs: tuple[WireValue, ...]
    outputs: tuple[WireValue, ...]
    weights: frozenset[str]
    operators: frozenset[str]
    nodes: int
    tensors: tuple[WireTensor, ...]


def read_wire(path: Path) -> WireModel:
    """Raises MeasurementError for a file that is empty, cut short or no ONNX."""
    if path.is_file() and not path.stat().st_size:
        raise MeasurementError(f"{path} is not an ONNX model: it holds no node, nothing at all", "export it again with `harness export`, or copy it again")
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
            return _model(_Reader(view))
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise MeasurementError(f"{path} is not a readable ONNX file: {error}", "export it again with `harness export`, or copy it again") from error


def external_locations(path: Path) -> frozenset[str]:
    """The locations of external weights, as the graph names them. Raises MeasurementError."""
    return frozenset(tensor.external.get("location", "") for tensor in read_wire(path).tensors if tensor.external)


@dataclass(frozen=True)
class _Reader:
    """Messages of one file."""

    view: memoryview

    def fields(self, span: int | _Span) -> _Fields:
        """The fields of a message by number, in their order. Raises ValueError where one ends too late, TypeError for a number."""
        if isinstance(span, int):
            raise TypeError("a number where a message should be")
        found: _Fields = {}
        at, end = span
        while at < end:
            tag, at = self.number(at)
            wire = tag & 7
            if wire == _VARINT:
                value, at = self.number(at)
                found.setdefault(tag >> 3, []).append(value)
            elif wire == _BYTES:
                length, at = self.number(at)
                found.setdefault(tag >> 3, []).append((at, at + length))
                at += length
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            else:
                raise ValueError(f"byte {at} starts no field")
        if at != end:
            raise ValueError(f"a field ends at byte {at}, its message at {end}")
        return found

    def number(self, at: int) -> _Span:
        """A varint as a signed number of 64 bits, and the byte after it."""
        value = 0
        for index in range(_LONGEST_VARINT):
            byte = self.view[at + index]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value - (1 << 64 if value >> 63 else 0), at + index + 1
        raise ValueError(f"byte {at} starts no number")

    def text(self, fields: _Fields, number: int) -> str:
        span = fields.get(number, [(0, 0)])[-1]
        if isinstance(span, int):
            raise TypeError("a number where a text should be")
        return bytes(self.view[span[0] : span[1]]).decode()

    def numbers(self, fields: _Fields, number: int) -> tuple[int, ...]:
        """A repeated number, one by one or packed."""
        return tuple(value for entry in fields.get(number, []) for value in ((entry,) if isinstance(entry, int) else self._packed(entry)))

    def _packed(self, span: _Span) -> Iterator[int]:
        at, end = span
        while at < end:
            value, at = self.number(at)
            yield value


def _model(reader: _Reader) -> WireModel:
    whole: _Span = (0, len(reader.view))
    fields = reader.fields(whole)
    graph = reader.fields(fields.get(7, [(0, 0)])[-1])
    opsets = [reader.fields(span) for span in fields.get(8, [])]
    nodes = [reader.fields(span) for span in graph.get(1, [])]
    return WireModel(
        ir_version=_last(reader, fields, 1),
        producer=f"{reader.text(fields, 2)} {reader.text(fields, 3)}".strip(),
        opsets={reader.text(entry, 1) or "ai.onnx": _last(reader, entry, 2) for entry in opsets},
        inputs=tuple(_value(reader, reader.fields(span)) for span in graph.get(11, [])),
        outputs=tuple(_value(reader, reader.fields(span)) for span in graph.get(12, [])),
        weights=frozenset(reader.text(reader.fields(span), 8) for span in graph.get(5, [])),
        operators=frozenset(reader.text(node, 4) for node in nodes),
        nodes=len(nodes),
        tensors=tuple(_tensors(reader, whole)),
    )


def _last(reader: _Reader, fields: _Fields, number: int) -> int:
    return (0, *reader.numbers(fields, number))[-1]


def _tensors(reader: _Reader, whole: _Span) -> Iterator[WireTensor]:
    """Every constant, those in nodes, subgraphs and functions too; a graph's own weights before those of its nodes."""
    waiting: list[tuple[str, int | _Span]] = [("model", whole)]
    while waiting:
        kind, span = waiting.pop()
        fields = reader.fields(span)
        if kind == "tensor":
            yield _tensor(reader, fields)
            continue
        found = [(way, entry) for number, way in _WAYS[kind].items() for entry in fields.get(number, [])]
        waiting += reversed(found)


def _tensor(reader: _Reader, fields: _Fields) -> WireTensor:
    entries = [reader.fields(span) for span in fields.get(13, [])]
    external = {reader.text(entry, 1): reader.text(entry, 2) for entry in entries}
    is_external = bool(entries) or _last(reader, fields, 14) == EXTERNAL
    return WireTensor(reader.text(fields, 8), reader.numbers(fields, 1), _last(reader, fields, 2), ({"location": ""} | external) if is_external else {})


def _value(reader: _Reader, fields: _Fields) -> WireValue:
    """ValueInfoProto.type (2) is a TypeProto, whose tensor_type (1) has elem_type (1) and shape (2) with sides (1)."""
    tensor = _below(reader, _below(reader, fields, 2), 1)
    sides = [reader.fields(span) for span in _below(reader, tensor, 2).get(1, [])]
    return WireValue(reader.text(fields, 1), _last(reader, tensor, 1), tuple(_last(reader, side, 1) if 1 in side else reader.text(side, 2) for side in sides))


def _below(reader: _Reader, fields: _Fields, number: int) -> _Fields:
    return reader.fields(fields.get(number, [(0, 0)])[-1])
