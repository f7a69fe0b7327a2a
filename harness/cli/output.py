"""How verbs speak: results on standard output, progress and remarks on standard error."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.core.errors import ConfigError

#: Of a progress bar a second. Drawn ten times a second, as is usual, it takes 2 % of a core from what is being measured beside it.
REFRESHES = 1


def remark(text: str) -> None:
    """A line for a person who watches; never part of the result."""
    print(text, file=sys.stderr)


def result(value: Any, as_json: bool, lines: list[str]) -> None:
    """The result: JSON for programs, or lines for people."""
    print(json.dumps(value, indent=1, default=str) if as_json else "\n".join(lines))


def columns(head: Sequence[str], rows: Mapping[str, Sequence[object]]) -> None:
    """A plain table on standard output: a name per row, then figures, right-aligned."""
    cells = [list(head), *([name, *map(str, values)] for name, values in rows.items())]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    for row in cells:
        print("  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]))
    print()


def options_from(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE pairs as a dictionary; a value that is a number, true or false is one. Raises ConfigError."""
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ConfigError(f"an option is NAME=VALUE, got {pair!r}", "for example width=64")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options


def next_command(command: str, *arguments: object, **options: object) -> None:
    """What to type next: a command, arguments, and those `options` that are not None as `--name value`, so that a shell takes them."""
    carried = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None]
    remark("next: " + " ".join([command, *(shlex.quote(str(argument)) for argument in arguments), *carried]))


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on standard error; the function takes (done, total, what). Without a terminal each new `what` is a line."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, refresh_per_second=REFRESHES) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=f"{title}: {what}" if what else title)


def _lines() -> Callable[[int, int, str], None]:
    said: set[str] = set()

    def say(done: int, total: int, what: str) -> None:
        if what and what not in said:
            said.add(what)
            remark(f"[{done}/{total}] {what}")

    return say
