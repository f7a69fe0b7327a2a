"""A table as GitHub-flavored Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from harness.results.layout import Cell, Grid, grid_from_group, problem_lines
from harness.results.table import Table


def render(table: Table) -> str:
    """A heading, a table and notes per group; then the files that could not be read."""
    parts = [_section(grid_from_group(group)) for group in table.groups]
    parts += ["\n".join(f"- {_plain(line)}" for line in problem_lines(table))] if table.problems else []
    return "\n\n".join(parts or ["No records."]) + "\n"


def _section(grid: Grid) -> str:
    rules = ["---" if column.dimension == "text" else "---:" for column in grid.columns]
    lines = [f"### {_plain(grid.heading)}", "", _plain(grid.facts), "", _line(map(_plain, grid.headers)), _line(rules)]
    lines += [_line(map(_cell, row)) for row in grid.cells]
    lines += [""] + [f"{number}. {_plain(text)}" for number, text in enumerate(grid.footnotes, 1)] if grid.footnotes else []
    return "\n".join([*lines, "", *(f"- {_plain(note)}" for note in grid.notes)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    if not cell.note and cell.text.isalnum():
        return f"{cell.text} {cell.interval}" if cell.interval else cell.text
    note = f"<sup>{cell.note}</sup>" if cell.note else ""
    return " ".join(part for part in (_plain(cell.text) + note, cell.interval) if part)


def _plain(text: str) -> str:
    """Text that Markdown takes as text."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
