"""The protocols that plug-ins implement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from harness.core.artifact import Artifact
from harness.core.deployment import DeploymentProfile
from harness.core.measurement import Measurement, Missing
from harness.core.specs import DatasetSpec, Tile, TileSource

if TYPE_CHECKING:
    import numpy as np


class Clock(Protocol):
    """Gives seconds that only ever grow."""

    def __call__(self) -> float: ...


class Opening(NamedTuple):
    """What opening an artifact cost: seconds, and bytes that the process held with the runtime imported, at most while loading, and after.

    The bytes are 0 where the system does not tell them; before and after loading, what was freed is given back first.
    """

    seconds: float
    imported: int
    load_peak: int
    loaded: int


class Session(Protocol):
    """One opened artifact. It reads no clock: the harness times `run` + `sync`, the same code for every runtime.

    One whose device has a queue of its own may also have `device_seconds() -> float`: one pass, timed by two events in that queue.
    One that counts the device's memory may have `reset_device_peak()` and `device_peak()`: bytes since, and what they are for the record.
    """

    def bind(self, inputs: Sequence[np.ndarray]) -> None:
        """Copy inputs, each (B, C, H, W) float32 of raw pixels, to where the runtime reads them."""
        ...

    def run(self) -> None:
        """Launch one forward pass over the bound inputs."""
        ...

    def sync(self) -> None:
        """Wait until the launched pass is done."""
        ...

    def outputs(self) -> list[np.ndarray]:
        """The outputs of the last pass on the host; segmentation logits are (B, classes, H, W) float32."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What ran: provider, library version, options; kept in the record."""
        ...


class Backend(Protocol):
    """A runtime."""

    formats: tuple[str, ...]
    devices: tuple[str, ...]
    is_default: bool

    def unavailable(self, device: str = "cpu") -> str | None:
        """Why it can't run on `device` here, with the fix; None when it can."""
        ...

    def lacks(self, precision: str, device: str = "cpu") -> str | None:
        """Why it can't run artifacts of `precision` on `device` here; None when it can."""
        ...

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All runtime options, defaults filled in. Raises ConfigError for one that it does not have, or a value of another kind."""
        ...

    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> AbstractContextManager[Session]: ...


class Exporter(Protocol):
    """Makes artifacts of one format from `source`: "checkpoint", or the name of the exporter whose artifact it takes.

    `unsupported` maps a precision that the format could have to why it has not; `sources` maps each precision to that of the source.
    """

    source: str
    format: str
    precisions: tuple[str, ...]
    unsupported: Mapping[str, str]
    sources: Mapping[str, str]

    def unavailable(self) -> str | None: ...

    def settings(self, precision: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """All settings that make the artifact's bytes, the options among them. Raises ConfigError for an unknown one or a wrong value."""
        ...

    def export(self, source: Path, *, precision: str, out: Path, options: Mapping[str, Any]) -> Artifact:
        """Write the runnable file and `artifact.json` into the folder `out`. Raises ExportError or ParityError."""
        ...


class Accumulator(Protocol):
    """Collects an accuracy metric over a split."""

    def update(self, logits: np.ndarray, mask: np.ndarray, region: str) -> None: ...
    def result(self) -> Iterable[Measurement]: ...


class Metric(Protocol):
    """`start` gives a fresh accumulator."""

    def start(self, classes: Sequence[str], ignore_index: int | None) -> Accumulator: ...


class Subject(Protocol):
    """What a probe may look at: the artifact, an opened session with what opening cost, its inputs, and the profile."""

    folder: Path
    artifact: Artifact
    profile: DeploymentProfile
    session: Session
    clock: Clock
    opening: Opening
    dataset: DatasetSpec | None
    #: Where the inputs of timed calls come from: "tiles of NAME" or "random".
    example_source: str
    #: Folder of reference logits `<tile index>.npy`, (classes, H, W) float32 of the checkpoint on torch_eager; None: see `no_reference`.
    reference: Path | None
    no_reference: str
    #: What the probes before this one measured, by quantity.
    known: dict[str, Measurement]
    #: The only batch that the session takes, None where it takes any.
    fixed_batch: int | None

    @property
    def first_call_seconds(self) -> float:
        """Wall time of the first call after loading, which is made when this is asked for first."""
        ...

    @property
    def threads(self) -> int:
        """Threads that the cell runs with."""
        ...

    @property
    def fingerprint(self) -> str:
        """What `Environment.fingerprint` of the record will be."""
        ...

    @property
    def pictures(self) -> Path:
        """A folder for pictures; the stage keeps them beside the record."""
        ...

    @property
    def tile_sides(self) -> tuple[tuple[int, int], ...]:
        """(H, W) of the tiles whose first windows are the example inputs; () where these are random."""
        ...

    def tiles(self) -> TileSource:
        """The tiles of the profile's split. Raises MeasurementError without a data set."""
        ...

    def examples(self) -> list[list[np.ndarray]]:
        """Batches of inputs, each a list with one (B, C, H, W) float32 array per input of the artifact."""
        ...

    def example(self) -> list[np.ndarray]:
        """The first of them alone, where the others would be in the way of what is measured."""
        ...

    def keep_timed(self, batch: int, logits: np.ndarray) -> None:
        """Take the logits of a timed call over the example batch of this number, to be compared with those that are scored."""
        ...

    def predictions(self) -> Iterable[tuple[Tile, np.ndarray]]:
        """Every tile of the split with its logits (classes, H, W), in order, by the session that is timed; computed once where they are kept."""
        ...


class Probe(Protocol):
    """Takes one kind of measurement."""

    quantities: tuple[str, ...]

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]: ...
