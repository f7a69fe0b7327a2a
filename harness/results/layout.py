"""A group as text for people: headers with units, cells with value, interval and footnote, and the notes below.

Every renderer for people draws the same Grid, so formats can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.results.area import AREA_KEYS
from harness.results.baselines import said
from harness.results.columns import BY_KEY, COLUMNS, Column
from harness.results.figure import REPEATS, Absent, Figure
from harness.results.row import Row, telling_keys, text_of
from harness.results.store import collector_paused
from harness.results.table import Group, Table
from harness.results.units import Unit, human, unit_for

LONGEST_NOTE = 300
_SETTINGS = frozenset({"regime", "seed", "settings", "format", "device", "precision", "variant", "batch", "tile", "threads"})
_OF_TRAINING = frozenset({"seed", "settings"})


class Cell(NamedTuple):
    """`text`, `interval` as "[low, high]" or empty, and the number of a footnote or 0."""

    text: str
    interval: str = ""
    note: int = 0


@dataclass(frozen=True, slots=True)
class Grid:
    """`telling` are the keys of columns without which two rows would look alike; `footnotes` are numbered from 1; `notes` are sentences for below the table."""

    heading: str
    facts: str
    columns: tuple[Column, ...]
    telling: frozenset[str]
    headers: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    footnotes: tuple[str, ...]
    notes: tuple[str, ...]


def grid_from_group(group: Group) -> Grid:
    """The grid of one group."""
    chosen = tuple(BY_KEY[key] for key in group.columns)
    columns = chosen or tuple(column for column in COLUMNS if column.key in group.asked or _is_shown(column, group.rows))
    footnotes: dict[str, int] = {}
    units = {column.key: _unit(column, group.rows) for column in columns}
    with collector_paused():
        cells = tuple(tuple(_cell(row, column, units[column.key], footnotes) for column in columns) for row in group.rows)
    telling = frozenset(column.key for column in columns if tells_apart(column, group.rows))
    headers = tuple(_header(column, units[column.key]) for column in columns)
    heading, facts = printable(group.place.heading), printable(_facts(group))
    return Grid(heading, facts, columns, telling, headers, cells, tuple(footnotes), tuple(map(printable, _notes(group))))


def problem_lines(table: Table) -> tuple[str, ...]:
    """One line per file that could not be read."""
    return tuple(f"Not read: {one_line(problem.reason)}" for problem in table.problems)


def one_line(text: str) -> str:
    """A reason without line breaks and what steers a terminal, cut where it is very long (the record keeps all of it)."""
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= LONGEST_NOTE else flat[: LONGEST_NOTE - 3] + "..."


def printable(text: str) -> str:
    """Text without characters that steer a terminal: what a record says is not trusted."""
    return "".join(character if character.isprintable() else "?" for character in text)


def tells_apart(column: Column, rows: Sequence[Row]) -> bool:
    """Whether rows of the same model and runtime, and of the same regime for what belongs to a training, differ in this column of settings."""
    if column.key not in _SETTINGS:
        return False
    shared = ("model", "regime", "runtime") if column.key in _OF_TRAINING else ("model", "runtime")
    return bool(telling_keys(rows, (column.key,), shared))


def _is_shown(column: Column, rows: Sequence[Row]) -> bool:
    if column.shown == "chosen":
        return False
    if column.shown == "telling":
        return tells_apart(column, rows)
    if column.shown == "varying":
        return len({text_of(row, column.key) for row in rows}) > 1
    if column.shown == "measured":
        return any(isinstance(row.entries[column.key], Figure) for row in rows)
    return True


def _unit(column: Column, rows: Iterable[Row]) -> Unit:
    if column.dimension == "text":
        return Unit("", 1.0)
    return unit_for(column.dimension, (entry.value for row in rows if isinstance(entry := row.entries[column.key], Figure)))


def _header(column: Column, unit: Unit) -> str:
    if not column.title:
        return unit.label
    return f"{column.title} ({unit.label})" if unit.label else column.title


def _cell(row: Row, column: Column, unit: Unit, footnotes: dict[str, int]) -> Cell:
    if column.key == "flags":
        return _flags_cell(row, footnotes)
    if column.dimension == "text":
        return Cell(printable(text_of(row, column.key)))
    entry = row.entries[column.key]
    if isinstance(entry, Absent):
        return Cell(entry.shown, note=_note(f"{entry.why}: {entry.reason}", footnotes) if entry.shown == "-" else 0)
    return Cell(human(entry.value, column.dimension, unit), _interval(entry, column, unit))


def _interval(entry: Figure, column: Column, unit: Unit) -> str:
    if entry.is_exact or entry.low is None or entry.high is None:
        return ""
    return f"[{human(entry.low, column.dimension, unit)}, {human(entry.high, column.dimension, unit)}]"


def _flags_cell(row: Row, footnotes: dict[str, int]) -> Cell:
    if not row.flags:
        return Cell("")
    text = "; ".join(f"{flag.kind}: {flag.message}" + (f" ({flag.advice})" if flag.advice else "") for flag in row.flags)
    return Cell(printable(text_of(row, "flags")), note=_note(text, footnotes))


def _note(text: str, footnotes: dict[str, int]) -> int:
    return footnotes.setdefault(one_line(text), len(footnotes) + 1)


def _facts(group: Group) -> str:
    """What the rows share, for the line below the heading."""
    place, cells = group.place, [row.record.cell for row in group.rows]
    facts = [place.cpu, f"{place.cores} cores"] + ([place.gpu] if place.gpu else [])
    for word, values in (("batch", {cell.batch for cell in cells}), ("tile", {cell.tile for cell in cells}), ("threads", {cell.threads for cell in cells})):
        if len(values) == 1:
            facts.append(f"{word} {values.pop()}")
    return "; ".join([*facts, *_scored(group), _measured(group)])


def _scored(group: Group) -> list[str]:
    """On what mIoU was taken, where all rows agree."""
    details = [measured.detail for row in group.rows if (measured := row.record.measured("miou")) is not None]
    said_of = {(detail.get("split"), detail.get("tiles"), detail.get("regions")) for detail in details}
    if len(said_of) != 1:
        return ["mIoU over different tiles"] if said_of else []
    split, tiles, regions = said_of.pop()
    parts = [f"{split} split"] * bool(split) + [f"{tiles} tiles"] * bool(tiles) + [f"{regions} regions"] * bool(regions)
    return [f"mIoU over {', '.join(parts)}"] if parts else []


def _measured(group: Group) -> str:
    days = sorted({row.record.created[:10] for row in group.rows})
    return f"measured {days[0]}" if len(days) == 1 else f"measured {days[0]} to {days[-1]}"


def _notes(group: Group) -> tuple[str, ...]:
    ranked = any(row.rank is not None for row in group.rows) and _has_column(group, "rank")
    rank = f"#: rank by {BY_KEY[group.sort].title or group.sort}; rows whose intervals overlap, directly or in a chain, share a rank (=)."
    axes = ", ".join(BY_KEY[axis].title or axis for axis in group.axes)
    memory = " (memory: by 5 %)" if any(axis in REPEATS for axis in group.axes) else ""
    rule = f"no row is as good or better in all of these and better beyond its interval{memory} in one"
    front = f"On front ({axes}): {rule}." if _has_column(group, "front") else ""
    older = f"{group.older} older records of these rows are not shown." if group.older else ""
    intervals = "[low, high]: 95 % intervals. Those of latency and speed-up cover the spread within a run, not between runs."
    unfit = f"{group.unfit} rows do not fit the filters and are not shown; ranks and front are of the rows shown." if group.unfit else ""
    beyond = f"{group.beyond} more rows are not shown: --rows {len(group.rows) + group.beyond} shows all." if group.beyond else ""
    return tuple(note for note in (said(group.baselines), rank if ranked else "", front, intervals, _per_area(group), older, unfit, beyond) if note)


def _has_column(group: Group, *keys: str) -> bool:
    """Whether one of the columns is there: the user chose it, or chose none."""
    return not group.columns or not set(group.columns).isdisjoint(keys)


def _per_area(group: Group) -> str:
    """What the columns per area leave out, where there are some."""
    if not _has_column(group, *AREA_KEYS) or not any(isinstance(row.entries["area_rate"], Figure) for row in group.rows):
        return ""
    return "Per area: at the data's ground sampling distance, tiles side by side, one caller, reading and writing of files not included."
