"""A table as CSV for programs: base units (s, B, FLOP, px/s, ratio), the interval in columns of its own, empty where there is no value.

Each column of figures gives <key>, <key>_low and <key>_high; `missing` says why figures are absent, `record` is the record's id.
Text that a spreadsheet would take for a formula begins with a quote. Where the user chose columns, the first three (record, machine, profile)
stay, so that every line can be traced.
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
#: How a formula begins in a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
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
    line, missing = [row.record.id, text_cell(group.place.machine), text_cell(row.record.profile.name)], []
    for key in keys:
        entry = row.entries.get(key)
        if entry is None:
            line.append(text_cell(_OF_RECORD[key](row.record) if key in _OF_RECORD else text_of(row, key)))
        elif isinstance(entry, Absent):
            line += ["", "", ""]
            missing.append(f"{key}: {entry.why}: {' '.join(entry.reason.split())}")
        else:
            value, low, high = entry[:3]
            line += [repr(value), "" if low is None else repr(low), "" if high is None else repr(high)]
    return [*line, text_cell("; ".join(missing))]


def text_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: what begins like one gets a quote before it (OWASP, CSV Injection)."""
    return f"'{text}" if text.startswith(_FORMULA) and text != "-" else text


_OF_RECORD: Mapping[str, Callable[[ProfileRecord], str]] = {
    "profile_sha256": lambda record: record.profile_sha256,
    "created": lambda record: record.created,
    "checkpoint_sha256": lambda record: record.cell.checkpoint_sha256,
}
