"""One row of a table: a record with its entries, and what it says in columns of text."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.core.artifact import Checkpoint
from harness.core.files import sha256_of_text
from harness.core.record import Advice, ProfileRecord
from harness.core.specs import names_of
from harness.results.figure import Entry
from harness.results.pareto import Rank

SHORT_ID = 8
_SHORT_MARK = 6
_LONGEST_VALUE = 24


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


def telling_keys(rows: Sequence[Row], keys: Iterable[str], shared: Sequence[str]) -> list[str]:
    """Those of the columns `keys` in which rows that say the same in the columns `shared` say different things."""
    alike = [tuple(text_of(row, other) for other in shared) for row in rows]
    kinds = len(set(alike))
    return [key for key in keys if len({(same, text_of(row, key)) for same, row in zip(alike, rows, strict=True)}) > kinds]


def text_of_record(record: ProfileRecord, key: str) -> str:
    """What a column of text says of a record alone; rank, front and flags need a row."""
    return _FACTS[key](record)


def training_of(record: ProfileRecord) -> Hashable:
    """How a model was made, its weights apart: training again with equal settings gives an equal value.

    Of a model that was not trained here it is what its file takes and gives, so that the versions of one file are equal.
    """
    made = record.checkpoint
    return made.regime, made.seed, made.label_fraction, _settings_json(made)


def _settings_json(made: Checkpoint) -> str:
    """Options, recipe, initial weights, input and output as one text. Not canonical JSON, which refuses a NaN among the options."""
    options = (made.encoder_options, made.decoder_options, made.recipe, made.initial_weights)
    return json.dumps([*options, names_of(made.bands), made.zero_filled, made.classes, made.input_size], sort_keys=True)


def _settings_text(record: ProfileRecord) -> str:
    """What people know settings by, and a hash of all of them, since a recipe of one name can change."""
    made = record.checkpoint
    given = [f"{key}={value}" for options in (made.encoder_options, made.decoder_options) for key, value in options.items()]
    if made.is_foreign:
        given += [f"{len(made.bands)} bands", f"{made.input_size} px", f"{len(made.classes)} classes"]
    named = [str(name) for name in (made.recipe.get("name"), made.initial_weights.get("source")) if name not in (None, "random")]
    texts = [text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 2]}.." for text in (*given, *named)]
    return " ".join([*texts, f"#{sha256_of_text(_settings_json(made))[:_SHORT_MARK]}"])


def _rank_text(row: Row) -> str:
    return "-" if row.rank is None else f"{row.rank.place}{'=' if row.rank.shared else ''}"


def _regime_text(record: ProfileRecord) -> str:
    made = record.checkpoint
    return made.regime if made.label_fraction == 1.0 else f"{made.regime} {100 * made.label_fraction:g}%"


_JUDGED: Mapping[str, Callable[[Row], str]] = {
    "rank": _rank_text,
    "front": lambda row: "-" if row.on_front is None else "yes" if row.on_front else "no",
    "flags": lambda row: ", ".join(dict.fromkeys(flag.kind for flag in row.flags)),
}
_FACTS: Mapping[str, Callable[[ProfileRecord], str]] = {
    "model": lambda record: record.cell.model,
    "regime": _regime_text,
    "seed": lambda record: str(record.checkpoint.seed),
    "settings": _settings_text,
    "data": lambda record: f"{record.data.name} {record.data.version}".strip() if record.data else "-",
    "machine": lambda record: record.environment.machine,
    "profile": lambda record: record.profile.name,
    "runtime": lambda record: record.cell.backend,
    "format": lambda record: record.cell.format,
    "device": lambda record: record.cell.device,
    "precision": lambda record: record.cell.precision,
    "variant": lambda record: record.cell.variant or "-",
    "batch": lambda record: str(record.cell.batch),
    "tile": lambda record: str(record.cell.tile),
    "threads": lambda record: str(record.cell.threads),
    "record": lambda record: record.id[:SHORT_ID],
}
RECORD_KEYS = tuple(_FACTS)
