"""One row of a table: a record with its entries, and what it says in columns of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.core.record import Advice, ProfileRecord
from harness.results.figure import Entry
from harness.results.pareto import Rank

SHORT_ID = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One record with its entries. `on_front` None: a quantity of the front is missing. `flags`: what makes the row doubtful."""

    record: ProfileRecord
    entries: Mapping[str, Entry]
    flags: tuple[Advice, ...] = ()
    rank: Rank | None = None
    on_front: bool | None = None


def text_of(row: Row, key: str) -> str:
    """What a column of text says of a row."""
    fact = _FACTS.get(key)
    return _JUDGED[key](row) if fact is None else fact(row.record)


def text_of_record(record: ProfileRecord, key: str) -> str:
    """What a column of text says of a record alone; rank, front and flags need a row."""
    return _FACTS[key](record)


def _rank_text(row: Row) -> str:
    return "-" if row.rank is None else f"{row.rank.place}{'=' if row.rank.shared else ''}"


def _regime_text(record: ProfileRecord) -> str:
    made = record.checkpoint
    return made.regime if made.label_fraction == 1.0 else f"{made.regime} {made.label_fraction:.0%}"


_JUDGED: Mapping[str, Callable[[Row], str]] = {
    "rank": _rank_text,
    "front": lambda row: "-" if row.on_front is None else "yes" if row.on_front else "no",
    "flags": lambda row: ", ".join(dict.fromkeys(flag.kind for flag in row.flags)),
}
_FACTS: Mapping[str, Callable[[ProfileRecord], str]] = {
    "model": lambda record: record.cell.model,
    "regime": _regime_text,
    "data": lambda record: f"{record.data.name} {record.data.version}".strip() if record.data else "-",
    "machine": lambda record: record.environment.machine,
    "profile": lambda record: record.profile.name,
    "runtime": lambda record: record.cell.backend,
    "format": lambda record: record.cell.format,
    "device": lambda record: record.cell.device,
    "precision": lambda record: record.cell.precision,
    "batch": lambda record: str(record.cell.batch),
    "tile": lambda record: str(record.cell.tile),
    "threads": lambda record: str(record.cell.threads),
    "record": lambda record: record.id[:SHORT_ID],
}
RECORD_KEYS = tuple(_FACTS)
