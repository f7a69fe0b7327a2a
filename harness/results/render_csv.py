"""A table as CSV for programs: base units (s, B, FLOP, px/s, ratio), the interval in columns of its own, empty where there is no value.

Each column of figures gives <key>, <key>_low and <key>_high; `missing` says why figures are absent, `record` is the record's id.
Where the user chose columns, the first three (record, machine, profile) stay, so that every line can be traced.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from harness.core.record import ProfileRecord
from harness.results.columns import COLUMNS, MEASURED
from harness.results.figure import Absent
from harness.results.row import Row, text_of
from harness.results.table import Group, Table

_START = ("record", "machine", "profile")
_ALL = (
    *("profile_sha256", "created", "checkpoint_sha256"),
    *(column.key for column in COLUMNS if column.dimension == "text" and column.key not in _START),
    *MEASURED,
)


def render(table: Table) -> str:
    """One line per row of every group below one header."""
    chosen = next((group.columns for group in table.groups if group.columns), ())
    keys = tuple(key for key in chosen if key not in _START) or _ALL
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_START, *(name for key in keys for name in _names(key)), "missing"])
    writer.writerows(_line(group, row, keys) for group in table.groups for row in group.rows)
    return text.getvalue()


def _names(key: str) -> tuple[str, ...]:
    return (key, f"{key}_low", f"{key}_high") if key in MEASURED else (key,)


def _line(group: Group, row: Row, keys: Sequence[str]) -> list[str]:
    start = [row.record.id, group.place.machine, row.record.profile.name]
    return [*start, *(part for key in keys for part in _parts(row, key)), _missing(row, keys)]


def _parts(row: Row, key: str) -> tuple[str, ...]:
    if key in _OF_RECORD:
        return (_OF_RECORD[key](row.record),)
    return _figure(row, key) if key in MEASURED else (text_of(row, key),)


_OF_RECORD: Mapping[str, Callable[[ProfileRecord], str]] = {
    "profile_sha256": lambda record: record.profile_sha256,
    "created": lambda record: record.created,
    "checkpoint_sha256": lambda record: record.cell.checkpoint_sha256,
}


def _figure(row: Row, key: str) -> tuple[str, str, str]:
    entry = row.entries[key]
    if isinstance(entry, Absent):
        return "", "", ""
    return _number(entry.value), _number(entry.low), _number(entry.high)


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _missing(row: Row, keys: Sequence[str]) -> str:
    absent = ((key, row.entries[key]) for key in keys if key in MEASURED)
    return "; ".join(f"{key}: {entry.why}: {' '.join(entry.reason.split())}" for key, entry in absent if isinstance(entry, Absent))
