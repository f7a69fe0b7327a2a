"""Filters of rows as people type them: `runtime=onnxruntime`, `model!=unet*`, `latency<50ms`, `miou>=0.6`, `batch<=8`.

Text columns: = and != with any of several values by `|`, `*` and `?` as in file names, case ignored. Figures: all six operators on
the value that the table shows; a row without the figure never fits. Nothing is evaluated: a filter is split by one regular expression.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.core.errors import ConfigError
from harness.core.record import ProfileRecord
from harness.results.amounts import amount
from harness.results.columns import Column, column
from harness.results.figure import Figure
from harness.results.row import RECORD_KEYS, Row, text_of_record

_FILTER = re.compile(r"\s*(\w+)\s*(<=|>=|!=|==|=|<|>)\s*(\S.*?)\s*", re.DOTALL)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
#: Text columns that hold whole numbers.
_NUMBERS = frozenset({"batch", "tile", "threads"})
#: What a group is made of: filtered before records are grouped.
_PLACES = frozenset({"machine", "data", "profile", "record"})
_HINT = "harness table --where runtime=onnxruntime --where 'latency<50ms'"


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition; `text` is what the user typed, `value` its right side, `number` the same in base units where it is one."""

    text: str
    column: Column
    compare: str
    value: str
    number: float | None = None

    @property
    def is_of_place(self) -> bool:
        return self.column.key in _PLACES


def filter_from_text(text: str) -> Filter:
    """The filter that the user typed. Raises ConfigError with what is wrong and an example."""
    found = _FILTER.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is not COLUMN, one of = != < <= > >=, and a value", _HINT)
    key, compare, value = found[1], found[2].replace("==", "="), found[3]
    chosen = column(key)
    if chosen.dimension != "text":
        return Filter(text, chosen, compare, value, amount(value, chosen.dimension))
    if key not in RECORD_KEYS:
        raise ConfigError(f"{key!r} is decided after filtering, so no filter can use it", _HINT)
    if key in _NUMBERS and "|" not in value:
        return Filter(text, chosen, compare, value, amount(value, "ratio"))
    if compare not in ("=", "!="):
        raise ConfigError(f"{text!r}: column {key!r} holds text, which has no order; use = or !=", _HINT)
    return Filter(text, chosen, compare, value)


def text_filters(texts: Iterable[str]) -> tuple[Filter, ...]:
    """Filters of records, not of rows. Raises ConfigError for one about a figure."""
    filters = tuple(map(filter_from_text, texts))
    for item in filters:
        if item.column.dimension != "text":
            raise ConfigError(f"{item.text!r} is about a figure; records are chosen by text", "harness table --where " + repr(item.text))
    return filters


def record_fits(record: ProfileRecord, filters: Iterable[Filter]) -> bool:
    """Whether a record fits all filters of text."""
    return all(_text_fits(record, item) for item in filters if item.column.dimension == "text")


def row_fits(row: Row, filters: Iterable[Filter]) -> bool:
    """Whether a row fits all filters."""
    return all(_figure_fits(row, item) if item.column.dimension != "text" else _text_fits(row.record, item) for item in filters)


def _figure_fits(row: Row, item: Filter) -> bool:
    entry = row.entries[item.column.key]
    return isinstance(entry, Figure) and item.number is not None and _COMPARE[item.compare](entry.value, item.number)


def _text_fits(record: ProfileRecord, item: Filter) -> bool:
    if item.number is not None:
        return _COMPARE[item.compare](float(text_of_record(record, item.column.key)), item.number)
    wanted = [choice.strip().lower() for choice in item.value.split("|")]
    equal = any(said == choice or fnmatchcase(said, choice) for said in _said(record, item.column.key) for choice in wanted)
    return equal if item.compare == "=" else not equal


def _said(record: ProfileRecord, key: str) -> tuple[str, ...]:
    """The texts that an exact value may equal: the cell's, a data set's name without its version, a record's whole id."""
    shown = text_of_record(record, key).lower()
    if key == "data" and record.data is not None:
        return shown, record.data.name.lower()
    return (shown, record.id.lower()) if key == "record" else (shown,)
