"""The columns of a table: title, dimension, which way is better, and the entry that a record has in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.core.errors import ConfigError
from harness.core.measurement import Measurement
from harness.core.record import ProfileRecord
from harness.results.area import AREA_KEYS, NO_PRICES, Prices, area_entries
from harness.results.figure import Absent, Entry, exact, figure_from_outcome, inverse, ratio_of_medians, scaled, tail_from_outcome
from harness.results.pareto import Better
from harness.results.units import Dimension


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `priority` orders columns by how much a narrow terminal wants them, 1 first.

    `shown` in tables for people: always; varying, where its text differs between rows; telling, where it differs between rows of
    the same model and runtime (and regime, for what belongs to a training); measured, where some row has a figure; chosen, only where the user names it.
    """

    key: str
    title: str
    priority: int
    dimension: Dimension = "text"
    better: Better | None = None
    shown: Literal["always", "varying", "telling", "measured", "chosen"] = "always"


COLUMNS = (
    Column("rank", "#", 3),
    Column("model", "model", 1),
    Column("regime", "regime", 9),
    Column("seed", "seed", 20, shown="telling"),
    Column("settings", "settings", 20, shown="telling"),
    Column("data", "data", 20, shown="varying"),
    Column("machine", "machine", 20, shown="varying"),
    Column("profile", "profile", 20, shown="varying"),
    Column("runtime", "runtime", 1),
    Column("format", "format", 20, shown="telling"),
    Column("device", "device", 10, shown="varying"),
    Column("precision", "precision", 4),
    Column("variant", "variant", 20, shown="telling"),
    Column("batch", "batch", 10, shown="varying"),
    Column("tile", "tile", 10, shown="varying"),
    Column("threads", "threads", 10, shown="varying"),
    Column("miou", "mIoU", 1, "score", "higher"),
    Column("parameters", "params", 12, "count", "lower"),
    Column("forward_flops", "", 5, "flop", "lower"),
    Column("macs", "", 15, "mac", "lower"),
    Column("latency", "latency p50", 1, "time", "lower"),
    Column("latency_p95", "p95", 8, "time", "lower"),
    Column("end_to_end_latency", "end to end p50", 16, "time", "lower", "measured"),
    Column("throughput", "throughput", 14, "rate", "higher"),
    Column("peak_host_memory", "peak host memory", 7, "bytes", "lower"),
    Column("weight_memory", "weight memory", 17, "bytes", "lower", "chosen"),
    Column("activation_memory", "activation memory", 17, "bytes", "lower", "chosen"),
    Column("library_memory", "library memory", 17, "bytes", "lower", "chosen"),
    Column("peak_device_memory", "peak device memory", 7, "bytes", "lower", "measured"),
    Column("artifact_size", "size", 13, "bytes", "lower"),
    Column("energy", "energy", 16, "energy", "lower", "measured"),
    Column("area_rate", "area rate", 17, "area_rate", "higher", "chosen"),
    Column("time_per_km2", "time per km2", 18, "time", "lower", "chosen"),
    Column("time_per_million_km2", "time per million km2", 18, "duration", "lower", "measured"),
    Column("flops_per_km2", "compute per km2", 18, "flop", "lower", "chosen"),
    Column("energy_per_million_km2", "energy per million km2", 18, "energy", "lower", "chosen"),
    Column("cost_per_km2", "cost per km2", 17, "money", "lower", "chosen"),
    Column("cost_per_million_km2", "cost per million km2", 12, "money", "lower", "measured"),
    Column("co2_per_million_km2", "CO2 per million km2", 12, "mass", "lower", "measured"),
    Column("speedup", "speed-up", 3, "ratio", "higher"),
    Column("argmax_agreement", "agreement", 11, "share", "higher"),
    Column("miou_drop", "mIoU drop", 11, "change", "lower"),
    Column("front", "on front", 2),
    Column("flags", "flags", 6),
    Column("record", "record", 19),
)
BY_KEY = {column.key: column for column in COLUMNS}
MEASURED = tuple(column.key for column in COLUMNS if column.dimension != "text")


def column(key: str) -> Column:
    """The column with that key. Raises ConfigError with all keys."""
    if key not in BY_KEY:
        raise ConfigError(f"there is no column {key!r}; columns are {', '.join(BY_KEY)}", "harness table --sort miou")
    return BY_KEY[key]


def figure_column(key: str) -> tuple[Column, Better]:
    """A column of figures with the way that is better. Raises ConfigError for a column of text."""
    found = column(key)
    if found.better is None:
        raise ConfigError(f"column {key!r} holds text; choose one of {', '.join(MEASURED)}", "harness table --sort miou")
    return found, found.better


def chosen_columns(text: str) -> tuple[str, ...]:
    """The keys of a comma-separated list, in its order, each once. Raises ConfigError for one that does not exist."""
    return tuple(dict.fromkeys(column(key.strip()).key for key in text.split(",") if key.strip()))


class Entries(Mapping[str, Entry]):
    """The entry that a record has in every column of figures; `eager` is the record to take the speed-up against.

    Each is made when it is first read: intervals take time, and of thousands of rows few are shown.
    """

    __slots__ = ("_eager", "_made", "_prices", "_record")

    def __init__(self, record: ProfileRecord, eager: ProfileRecord | None = None, prices: Prices = NO_PRICES) -> None:
        self._record, self._eager, self._prices = record, eager, prices
        self._made: dict[str, Entry] = {}

    def __getitem__(self, key: str) -> Entry:
        if key in AREA_KEYS and key not in self._made:
            self._made.update(area_entries(self._record, self, self._prices))
        elif key not in self._made:
            self._made[key] = self._entry(key)
        return self._made[key]

    def __iter__(self) -> Iterator[str]:
        return iter(MEASURED)

    def __len__(self) -> int:
        return len(MEASURED)

    def _entry(self, key: str) -> Entry:
        """Raises KeyError where no column of figures has that key."""
        match key:
            case "macs":
                return scaled(self["forward_flops"], 0.5)
            case "latency_p95":
                return tail_from_outcome(self._record.outcome("latency"), 0.95)
            case "throughput":
                return _throughput(self._record, self)
            case "speedup":
                return _speedup(self._record, self._eager)
        if key not in MEASURED:
            raise KeyError(key)
        return next((figure_from_outcome(outcome) for outcome in self._record.outcomes if outcome.quantity == key), _NOT_ASKED)


_NOT_ASKED = Absent("skipped", "not among the probes of this run")


def _throughput(record: ProfileRecord, entries: Mapping[str, Entry]) -> Entry:
    """The measured throughput, else by its definition from the latency: pixels of the input over the median."""
    measured = record.measured("throughput")
    cell = record.cell
    return inverse(entries["latency"], cell.batch * cell.tile * cell.tile) if measured is None else figure_from_outcome(measured)


def _speedup(record: ProfileRecord, eager: ProfileRecord | None) -> Entry:
    latency = record.outcome("latency")
    if not isinstance(latency, Measurement):
        return Absent(latency.why, latency.reason)
    if eager is record:
        return exact(1.0)
    if eager is None:
        return Absent("skipped", "no torch_eager fp32 record of this checkpoint with the same device, batch, tile and threads in this group")
    base = eager.outcome("latency")
    if not isinstance(base, Measurement):
        return Absent(base.why, f"torch_eager fp32 has no latency: {base.why}: {base.reason}")
    return ratio_of_medians(base, latency)
