"""Where the time of one call goes: layer by layer, in a run of its own that no latency figure comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from harness.core.errors import MeasurementError
from harness.core.files import canonical_json, write_atomic
from harness.core.specs import Value

#: Where decoders keep what makes their features from the encoder's.
NECK = "decoder.neck."


def part_of(path: str) -> str:
    """The part of the network that a module or one of its weights belongs to: encoder, neck, decoder, or "other"."""
    first = path.partition(".")[0]
    if f"{path}.".startswith(NECK):
        return "neck"
    return first if first in ("encoder", "decoder") else "other"


class Layer(Value):
    """One layer or fused node. `path`: its place in the network ("encoder.network.layer1.0.conv1"), or the node's name where unknown.

    `seconds` is its own time, without that of the layers inside it, the median over runs. `flops` None: not known; 0: none by definition.
    """

    path: str
    kind: str
    seconds: float
    flops: int | None = None
    output_bytes: int | None = None

    @property
    def part(self) -> str:
        """encoder, neck (what stands between the encoder and the decoder's own layers), decoder, or the rest."""
        return part_of(self.path)

    @property
    def stage(self) -> str:
        """The first three steps of the path."""
        return ".".join(self.path.split(".")[:3]) if self.part != "other" else "other"


class Look(NamedTuple):
    """What a backend tells of its layers, the instrument's name, and bytes of weights by part where the artifact names its weights."""

    layers: tuple[Layer, ...]
    source: str
    weights: Mapping[str, int] = MappingProxyType({})


class LayerView(Value):
    """All layers of one cell in the order in which they ran. `source` names the instrument, which makes a call slower than it is.

    `weights`: bytes of weights by part, as the artifact holds them; empty where its format does not say.
    """

    record: str
    backend: str
    source: str
    runs: int
    batch: int
    weights: dict[str, int] = {}
    layers: tuple[Layer, ...]

    @property
    def seconds(self) -> float:
        return sum(layer.seconds for layer in self.layers)


class Share(Value):
    """Layers that belong together. `flops` None: of a layer among them they are not known."""

    name: str
    layers: int
    seconds: float
    flops: int | None
    output_bytes: int


def grouped(view: LayerView, key: Callable[[Layer], str]) -> tuple[Share, ...]:
    """The view added up by `key`, in the order in which the groups first run."""
    members: dict[str, list[Layer]] = {}
    for layer in view.layers:
        members.setdefault(key(layer), []).append(layer)
    return tuple(
        Share(
            name=name,
            layers=len(layers),
            seconds=sum(layer.seconds for layer in layers),
            flops=None if any(layer.flops is None for layer in layers) else sum(layer.flops or 0 for layer in layers),
            output_bytes=sum(layer.output_bytes or 0 for layer in layers),
        )
        for name, layers in members.items()
    )


def layers_path(record: Path) -> Path:
    """Where the layers of a record lie: beside it."""
    return record.with_suffix(".layers.jsonl")


def write_view(record: Path, view: LayerView) -> Path:
    """Write the view beside its record: a line of facts, then a line per layer."""
    lines = [view.model_dump(mode="json", exclude={"layers"}), *(layer.model_dump(mode="json") for layer in view.layers)]
    return write_atomic(layers_path(record), "".join(f"{canonical_json(line)}\n" for line in lines))


def read_view(record: Path) -> LayerView:
    """The view beside a record. Raises MeasurementError where there is none."""
    path = layers_path(record)
    if not path.is_file():
        raise MeasurementError(f"{path} does not exist", "harness profile SUBJECT --layers")
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    view = LayerView.model_validate_json(head[:-1] + ',"layers":[]}')
    return view.model_copy(update={"layers": tuple(Layer.model_validate_json(row) for row in rows)})
