"""How verbs read a folder of records: what can't be read is said on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.output import remark
from harness.core.errors import ConfigError, RecordError

if TYPE_CHECKING:
    from harness.results.store import Problem
    from harness.results.table import Table


def say_unread(problems: Iterable[Problem]) -> None:
    """Name the files that are no readable records."""
    for problem in problems:
        remark(f"not read: {problem.reason}")


def front_from(text: str) -> tuple[str, ...]:
    """The quantities of a front. Raises ConfigError for what is none, and for fewer than two, of which there is no tradeoff."""
    from harness.results.columns import MEASURED

    keys = tuple(dict.fromkeys(key.strip() for key in text.split(",") if key.strip()))
    unknown = [key for key in keys if key not in MEASURED]
    if unknown:
        raise ConfigError(f"a front can't be of {', '.join(map(repr, unknown))}; there are {', '.join(MEASURED)}", "--front miou,latency")
    if len(keys) < 2:
        raise ConfigError(f"a front is of two quantities or more, got {text!r}", "--front miou,latency")
    return keys


def filtered_table(folder: Path, where: Sequence[str]) -> Table:
    """The table of the records that fit, with unreadable files said first. Raises RecordError where there is none, ConfigError where none fits."""
    from harness.results.filters import filter_from_text
    from harness.results.store import read_records
    from harness.results.table import View, table_from_records

    found = read_records(folder)
    say_unread(found.problems)
    table = table_from_records(found, view=View(where=tuple(map(filter_from_text, where))))
    if not found.records:
        raise RecordError(f"there is no record in {folder}", "harness profile CHECKPOINT, or name the folder with --records")
    if not table.groups:
        raise ConfigError(f"no record of {len(found.records)} in {folder} fits {' and '.join(where)}", "harness records list")
    return table
