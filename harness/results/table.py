"""The tradeoff table: groups that may be compared, in each a row per cell, the latest record of it.

A group is one machine, one data set and one profile. A row is model and training settings x runtime x precision x device x batch x
tile x threads, all its figures from one record. Sorted rows whose intervals overlap share a rank (see `pareto`). The speed-up is
against the torch_eager fp32 row of the same checkpoint in the same group.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.core.files import canonical_json
from harness.core.record import Advice, ProfileRecord
from harness.results.baselines import Baseline, baselines_of
from harness.results.columns import column, entries_from_record, figure_column
from harness.results.figure import Absent, Entry, Figure
from harness.results.pareto import Coordinate, Rank, front, ranks
from harness.results.store import Problem, Records, collector_paused, latest

FRONT = ("miou", "latency")


@dataclass(frozen=True, slots=True)
class Row:
    """One record with its entries. `on_front` None: a quantity of the front is missing. `flags`: what makes the row doubtful."""

    record: ProfileRecord
    entries: Mapping[str, Entry]
    flags: tuple[Advice, ...] = ()
    rank: Rank | None = None
    on_front: bool | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What the rows of a group share."""

    machine: str
    cpu: str
    cores: int
    gpu: str | None
    data: str
    data_version: str
    profile: str
    profile_sha256: str

    @property
    def heading(self) -> str:
        return f"{self.machine}: {' '.join((self.data, self.data_version)).strip()}, profile {self.profile} ({self.profile_sha256[:8]})"


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that may be compared. `older` counts records that a newer one of the same cell replaced."""

    place: Place
    rows: tuple[Row, ...]
    baselines: tuple[Baseline, ...]
    older: int
    sort: str
    axes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """All groups in the order of their headings, and the files that could not be read."""

    groups: tuple[Group, ...]
    problems: tuple[Problem, ...] = ()


def table_from_records(records: Records, *, sort: str = "miou", axes: Sequence[str] = FRONT) -> Table:
    """The table of all records. Raises ConfigError for a column that does not exist, or an axis without figures."""
    column(sort)
    for axis in axes:
        figure_column(axis)
    members: dict[Place, list[ProfileRecord]] = defaultdict(list)
    for record in records.records:
        members[place_of(record)].append(record)
    ordered = sorted(members.items(), key=lambda item: (item[0].heading, item[0].cpu, item[0].cores, item[0].gpu or ""))
    with collector_paused():
        return Table(tuple(_group(place, found, sort, tuple(axes)) for place, found in ordered), records.problems)


def place_of(record: ProfileRecord) -> Place:
    """The group that a record belongs to."""
    here, data = record.environment, record.data
    name, version = (data.name, data.version) if data else ("random inputs", "")
    return Place(here.machine, here.cpu, here.cores, here.gpu, name, version, record.profile.name, record.profile_sha256)


def row_key(record: ProfileRecord) -> Hashable:
    """What a row is: how the model was trained and how it ran. Training again with equal settings replaces the row."""
    made, cell = record.checkpoint, record.cell
    settings = canonical_json([made.encoder_options, made.decoder_options, made.recipe, made.initial_weights])
    trained = (made.regime, made.seed, made.label_fraction, settings)
    return (cell.model, trained, cell.backend, cell.format, cell.precision, cell.device, cell.batch, cell.tile, cell.threads)


def _group(place: Place, records: Sequence[ProfileRecord], sort: str, axes: tuple[str, ...]) -> Group:
    newest = latest(records, row_key)
    baselines = baselines_of(newest)
    eager = {_speed_key(record): record for record in newest if record.cell.backend == "torch_eager" and record.cell.precision == "fp32"}
    rows = [_row(record, eager.get(_speed_key(record)), baselines) for record in newest]
    return Group(place, tuple(_sorted(_with_front(rows, axes), sort)), baselines, len(records) - len(newest), sort, axes)


def _speed_key(record: ProfileRecord) -> Hashable:
    cell = record.cell
    return (cell.checkpoint_sha256, cell.device, cell.batch, cell.tile, cell.threads)


def _row(record: ProfileRecord, eager: ProfileRecord | None, baselines: Sequence[Baseline]) -> Row:
    entries = entries_from_record(record, eager)
    flags = list(record.warnings)
    miou = entries["miou"]
    if baselines and isinstance(miou, Figure) and miou.value <= baselines[0].miou:
        best = baselines[0]
        flags.append(Advice(kind="under baseline", message=f"mIoU is not above {best.name} ({best.miou:.3f})", advice="its speed means nothing"))
    if eager is not None and eager.environment.fingerprint != record.environment.fingerprint:
        advice = "profile both again"
        flags.append(Advice(kind="mixed versions", message="its speed-up is against a record with other versions or settings", advice=advice))
    return Row(record, entries, tuple(flags))


def _with_front(rows: Sequence[Row], axes: tuple[str, ...]) -> list[Row]:
    """The rows with `on_front` set where every axis has a figure."""
    points = [_point(row, axes) for row in rows]
    known = [point for point in points if point is not None]
    verdicts = iter(front(known, [figure_column(axis)[1] for axis in axes]))
    return [Row(row.record, row.entries, row.flags, row.rank, None if point is None else next(verdicts)) for row, point in zip(rows, points, strict=True)]


def _sorted(rows: Sequence[Row], sort: str) -> list[Row]:
    """Rows by the sort column, best first, those without a value last; ties by name."""
    ordered = sorted(rows, key=_name)
    better = column(sort).better
    if better is None:
        return sorted(ordered, key=lambda row: text_of(row, sort))
    sign = 1 if better == "lower" else -1
    ordered.sort(key=lambda row: sign * entry.value if isinstance(entry := row.entries[sort], Figure) else math.inf)
    placed = ranks([coordinate(row.entries[sort]) for row in ordered], better)
    return [Row(row.record, row.entries, row.flags, rank, row.on_front) for row, rank in zip(ordered, placed, strict=True)]


def coordinate(entry: Entry) -> Coordinate:
    """An entry on an axis; unknown (infinite) where it is absent."""
    return Coordinate(math.nan, -math.inf, math.inf) if isinstance(entry, Absent) else Coordinate(entry.value, *entry.reach)


def _point(row: Row, axes: Iterable[str]) -> tuple[Coordinate, ...] | None:
    entries = [row.entries[axis] for axis in axes]
    return None if any(isinstance(entry, Absent) for entry in entries) else tuple(coordinate(entry) for entry in entries)


def _name(row: Row) -> tuple[str, ...]:
    return (*(text_of(row, key) for key in ("model", "regime", "runtime", "precision", "device")), row.record.id)


def text_of(row: Row, key: str) -> str:
    """What a column of text says of a row."""
    return _TEXTS[key](row)


def _rank_text(row: Row) -> str:
    return "-" if row.rank is None else f"{row.rank.place}{'=' if row.rank.shared else ''}"


def _regime_text(row: Row) -> str:
    made = row.record.checkpoint
    return made.regime if made.label_fraction == 1.0 else f"{made.regime} {made.label_fraction:.0%}"


_TEXTS: Mapping[str, Callable[[Row], str]] = {
    "rank": _rank_text,
    "model": lambda row: row.record.cell.model,
    "regime": _regime_text,
    "data": lambda row: f"{row.record.data.name} {row.record.data.version}".strip() if row.record.data else "-",
    "runtime": lambda row: row.record.cell.backend,
    "format": lambda row: row.record.cell.format,
    "device": lambda row: row.record.cell.device,
    "precision": lambda row: row.record.cell.precision,
    "batch": lambda row: str(row.record.cell.batch),
    "tile": lambda row: str(row.record.cell.tile),
    "threads": lambda row: str(row.record.cell.threads),
    "front": lambda row: "-" if row.on_front is None else "yes" if row.on_front else "no",
    "flags": lambda row: ", ".join(dict.fromkeys(flag.kind for flag in row.flags)),
}
