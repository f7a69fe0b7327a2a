"""A table as one HTML file to explore: filters, sorting, a scatter with the front, each record's facts; it needs no network.

What the records say is put in as JSON with every character that HTML could read escaped, and the page writes it as text only; its
content security policy allows the page's own scripts and style, by hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from harness.core.record import ProfileRecord
from harness.results.baselines import said
from harness.results.columns import COLUMNS, Column
from harness.results.figure import Absent, Entry, Figure
from harness.results.layout import one_line, problem_lines
from harness.results.row import Row, telling_keys, text_of_record
from harness.results.table import Table
from harness.results.units import unit_for

SCRIPTS = ("math.js", "chart.js", "page.js")
_TEXTS = (
    *("machine", "data", "profile", "model", "regime", "runtime", "format", "device", "precision", "variant"),
    *("batch", "tile", "threads", "seed", "settings"),
)
#: Columns that the page's table shows first, of text and of figures; the reader can choose other figures.
_FACTS = ("model", "regime", "runtime", "precision", "device", "batch")
#: Those that it shows too where they tell rows apart.
_TELLING = ("format", "variant", "tile", "threads", "seed", "settings")
_USUAL = (
    "miou",
    "latency",
    "peak_host_memory",
    "peak_device_memory",
    "forward_flops",
    "artifact_size",
    "speedup",
    "cost_per_million_km2",
    "co2_per_million_km2",
)


def render(table: Table) -> str:
    """The whole page as text."""
    scripts = [_asset(name) for name in SCRIPTS]
    style = _asset("page.css")
    parts = {
        "script_hashes": " ".join(f"'{_hash(script)}'" for script in scripts),
        "style_hash": _hash(style),
        "style": style,
        "notes": _notes(table),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
        "data": _json(_content(table)),
    }
    return "".join(parts.get(piece, piece) for piece in _pieces(_asset("page.html"), parts))


def _pieces(page: str, names: Iterable[str]) -> list[str]:
    """The page cut at its {{places}}, so that no part is searched for the places of another."""
    known = set(names)
    pieces: list[str] = []
    for piece in page.split("{{"):
        name, closed, rest = piece.partition("}}")
        pieces += [name, rest] if closed and name in known else [piece]
    return pieces


def _content(table: Table) -> dict[str, Any]:
    rows = [row for group in table.groups for row in group.rows]
    columns = [column for column in COLUMNS if column.dimension != "text" and any(isinstance(row.entries[column.key], Figure) for row in rows)]
    chosen = next((group.columns for group in table.groups if group.columns), ())
    names, known = _names(rows), [column.key for column in columns]
    first = next(iter(table.groups), None)
    return {
        "columns": [_column(column, rows) for column in columns],
        "usual": [key for key in chosen or _USUAL if key in known],
        "facts": _facts(chosen) if chosen else [*_FACTS, *telling_keys(rows, _TELLING, ("machine", *_FACTS))],
        "sort": first.sort if first else "",
        "axes": _axes(first.axes if first else (), known),
        "rows": [{**_row(row, columns), **names[row.record.id]} for row in rows],
    }


def _facts(chosen: Iterable[str]) -> list[str]:
    """The chosen columns of text that the page has; a row is chosen by its model, so that this is always among them."""
    facts = [key for key in chosen if key in _TEXTS]
    return facts if "model" in facts else ["model", *facts]


def _axes(front: Sequence[str], known: Sequence[str]) -> list[str]:
    """The scatter's axes, up then across: the first two of the front, and where nobody has such a figure another one."""
    return [next((key for key in (axis, *known) if key in known), "") for axis in (*front, "miou", "latency")[:2]]


def _names(rows: Iterable[Row]) -> dict[str, dict[str, str]]:
    """Machine and profile of each record, with more than their names where two share one: rows of the two do not compare."""
    records = [row.record for row in rows]
    boards: dict[str, set[str]] = defaultdict(set)
    hashes: dict[str, set[str]] = defaultdict(set)
    for record in records:
        boards[record.environment.machine].add(_board(record))
        hashes[record.profile.name].add(record.profile_sha256)
    return {
        record.id: {
            "machine": record.environment.machine + (f" ({_board(record)})" if len(boards[record.environment.machine]) > 1 else ""),
            "profile": record.profile.name + (f" ({record.profile_sha256[:8]})" if len(hashes[record.profile.name]) > 1 else ""),
        }
        for record in records
    }


def _board(record: ProfileRecord) -> str:
    here = record.environment
    return ", ".join([here.cpu, f"{here.cores} cores", *([here.gpu] if here.gpu else [])])


def _column(column: Column, rows: Iterable[Row]) -> dict[str, Any]:
    unit = unit_for(column.dimension, (entry.value for row in rows if isinstance(entry := row.entries[column.key], Figure)))
    title = column.title or {"flop": "compute", "mac": "multiply-adds"}.get(column.dimension, column.key)
    label = f"{title} ({unit.label})" if unit.label else title
    return {"key": column.key, "label": label, "dimension": column.dimension, "better": column.better, "factor": unit.factor}


def _row(row: Row, columns: Iterable[Column]) -> dict[str, Any]:
    record = row.record
    return {
        "id": record.id,
        "created": record.created,
        **{key: text_of_record(record, key) for key in _TEXTS},
        "flags": [one_line(f"{flag.kind}: {flag.message}" + (f" ({flag.advice})" if flag.advice else "")) for flag in row.flags],
        "figures": {column.key: _figure(row.entries[column.key]) for column in columns},
    }


def _figure(entry: Entry) -> list[float | None] | str:
    """[value] of an exact figure, [value, low, high] with null ends where they are unknown, then how well it repeats; or why it is absent."""
    if isinstance(entry, Absent):
        return one_line(f"{entry.why}: {entry.reason}")
    if entry.is_exact:
        return [entry.value]
    return [_short(entry.value), _short(entry.low), _short(entry.high), *([] if entry.repeats is None else [entry.repeats])]


def _short(value: float | None) -> float | None:
    """Nine digits are more than a page shows, and half the bytes."""
    return None if value is None else float(f"{value:.9g}")


def _notes(table: Table) -> str:
    baselines = dict.fromkeys(f"{group.place.machine}, {group.place.data}: {text}" for group in table.groups if (text := said(group.baselines)))
    return "\n".join(f"<p>{html.escape(line)}</p>" for line in (*baselines, *problem_lines(table)))


def _json(content: object) -> str:
    """JSON in which nothing ends or opens an HTML element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _asset(name: str) -> str:
    return (files("harness.results") / "explorer" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names a script or a style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
