"""Where the time of one call goes: layer by layer, in a run of its own that no latency figure comes from."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.specs import Value


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
        """encoder, decoder, or the rest."""
        first = self.path.partition(".")[0]
        return first if first in ("encoder", "decoder") else "other"

    @property
    def stage(self) -> str:
        """The first three steps of the path."""
        return ".".join(self.path.split(".")[:3]) if self.part != "other" else "other"


class LayerView(Value):
    """All layers of one cell in the order in which they ran. `source` names the instrument, which makes a call slower than it is."""

    record: str
    backend: str
    source: str
    runs: int
    batch: int
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
