"""A table as CSV for programs: base units (s, B, FLOP, px/s, ratio), the interval in columns of its own, empty where there is no value.

Each column of figures gives <key>, <key>_low and <key>_high; `missing` says why figures are absent, `record` is the record's id.
"""

from __future__ import annotations

import csv
import io

from harness.results.columns import COLUMNS, MEASURED
from harness.results.figure import Absent
from harness.results.table import Group, Row, Table, text_of

_TEXTS = tuple(column.key for column in COLUMNS if column.dimension == "text")
HEADER = (
    *("machine", "profile", "profile_sha256", "record", "created", "checkpoint_sha256"),
    *_TEXTS,
    *(f"{key}{end}" for key in MEASURED for end in ("", "_low", "_high")),
    "missing",
)


def render(table: Table) -> str:
    """One line per row of every group below one header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(_line(group, row) for group in table.groups for row in group.rows)
    return text.getvalue()


def _line(group: Group, row: Row) -> list[str]:
    record, place = row.record, group.place
    start = [place.machine, place.profile, place.profile_sha256, record.id, record.created, record.cell.checkpoint_sha256]
    return [*start, *(text_of(row, key) for key in _TEXTS), *(part for key in MEASURED for part in _figure(row, key)), _missing(row)]


def _figure(row: Row, key: str) -> tuple[str, str, str]:
    entry = row.entries[key]
    if isinstance(entry, Absent):
        return "", "", ""
    return _number(entry.value), _number(entry.low), _number(entry.high)


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _missing(row: Row) -> str:
    absent = ((key, entry) for key, entry in row.entries.items() if isinstance(entry, Absent))
    return "; ".join(f"{key}: {entry.why}: {' '.join(entry.reason.split())}" for key, entry in absent)
