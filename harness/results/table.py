"""The tradeoff table: groups that may be compared, in each a row per cell, the latest record of it.

A group is one machine, one data set and one profile. A row is model and training settings x runtime x precision x device x batch x
tile x threads, all its figures from one record. Sorted rows whose intervals overlap share a rank (see `pareto`). The speed-up is
against the torch_eager fp32 row of the same checkpoint in the same group.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from harness.core.record import Advice, ProfileRecord
from harness.results.area import NO_PRICES, Prices
from harness.results.baselines import Baseline, baselines_of
from harness.results.columns import Entries, column, figure_column
from harness.results.figure import Absent, Entry, Figure
from harness.results.filters import Filter, record_fits, row_fits
from harness.results.flags import flags_of
from harness.results.grouping import GROUP, Place, grouped
from harness.results.pareto import Coordinate, front, ranks
from harness.results.row import Row as Row
from harness.results.row import text_of as text_of
from harness.results.row import training_of
from harness.results.store import Problem, Records, collector_paused, runs_of

FRONT = ("miou", "latency")


@dataclass(frozen=True, slots=True)
class View:
    """How a user wants to see records.

    `by`: what separates groups; `columns`: those to show, empty for the usual ones; `rows`: the most to show of a group, None for all.
    """

    by: tuple[str, ...] = GROUP
    where: tuple[Filter, ...] = ()
    columns: tuple[str, ...] = ()
    prices: Prices = NO_PRICES
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that may be compared.

    `older` counts records that a newer one of the same cell replaced, `unfit` rows that a filter left out; `columns` as in View; `asked`
    are the keys of columns that the user gave a price for, shown even where no row has the figure; `beyond` counts rows after the last.
    """

    place: Place
    rows: tuple[Row, ...]
    baselines: tuple[Baseline, ...]
    older: int
    sort: str
    axes: tuple[str, ...]
    unfit: int = 0
    columns: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    beyond: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """All groups in the order of their headings, and the files that could not be read."""

    groups: tuple[Group, ...]
    problems: tuple[Problem, ...] = ()


USUAL = View()


def table_from_records(records: Records, *, sort: str = "miou", axes: Sequence[str] = FRONT, view: View = USUAL) -> Table:
    """The table of all records. Raises ConfigError for a column that does not exist, an axis without figures, or a group of what does not compare."""
    column(sort)
    for axis in axes:
        figure_column(axis)
    place_filters = [item for item in view.where if item.is_of_place]
    here = [record for record in records.records if record_fits(record, place_filters)] if place_filters else records.records
    with collector_paused():
        groups = [_group(place, found, sort=sort, axes=tuple(axes), view=view) for place, found in grouped(here, view.by)]
    return Table(tuple(group for group in groups if group.rows), records.problems)


def row_key(record: ProfileRecord) -> Hashable:
    """What a row is: how the model was trained and how it ran. Training again with equal settings replaces the row."""
    cell = record.cell
    ran = (cell.backend, cell.format, cell.precision, cell.device, cell.batch, cell.tile, cell.threads, cell.shape, cell.variant)
    return (record.profile_sha256, cell.model, training_of(record), *ran)


def _group(place: Place, records: Sequence[ProfileRecord], *, sort: str, axes: tuple[str, ...], view: View) -> Group:
    runs = runs_of(records, row_key)
    newest = [own[-1] for own in runs]
    baselines = baselines_of(newest)
    eager = {_speed_key(record): record for record in newest if record.cell.backend == "torch_eager" and record.cell.precision == "fp32"}
    # Filtered after the speed-ups are taken, so that the torch_eager row need not be shown; before ranks and front, which are of what is shown.
    rows = [_row(own, eager.get(_speed_key(own[-1])), baselines, view.prices) for own in runs if record_fits(own[-1], view.where)]
    fit = [row for row in rows if row_fits(row, view.where)] if view.where else rows
    ordered = _sorted(_with_front(fit, axes), sort)
    shown = tuple(ordered[: view.rows])
    return Group(
        place=place,
        rows=shown,
        baselines=baselines,
        older=len(records) - len(newest),
        sort=sort,
        axes=axes,
        unfit=len(newest) - len(fit),
        columns=view.columns,
        asked=view.prices.asked,
        beyond=len(ordered) - len(shown),
    )


def _speed_key(record: ProfileRecord) -> Hashable:
    cell = record.cell
    return (record.profile_sha256, cell.checkpoint_sha256, cell.device, cell.batch, cell.tile, cell.threads)


def _row(runs: Sequence[ProfileRecord], eager: ProfileRecord | None, baselines: Sequence[Baseline], prices: Prices) -> Row:
    record = runs[-1]
    flags = list(flags_of(runs, baselines))
    if eager is not None and eager.environment.fingerprint != record.environment.fingerprint:
        advice = "profile both again"
        flags.append(Advice(kind="mixed versions", message="its speed-up is against a record with other versions or settings", advice=advice))
    return Row(record, Entries(record, eager, prices), tuple(flags))


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
