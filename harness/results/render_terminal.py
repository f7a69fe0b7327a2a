"""A table for a terminal, drawn by rich: the interval stands below its value, numbers are never cut.

Where the terminal is too narrow for all columns, those that matter least are left out and named below the table.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from harness.results.columns import Column
from harness.results.layout import Cell, Grid, grid_from_group, problem_lines
from harness.results.table import Table

_GAP = 2


def render(table: Table, width: int = 100) -> RenderableType:
    """What `rich.console.Console(width=width).print` takes."""
    parts: list[RenderableType] = []
    for group in table.groups:
        parts += _section(grid_from_group(group), width)
    parts += [Text(line, style="yellow") for line in problem_lines(table)]
    return Group(*(parts or [Text("No records.")]))


def _section(grid: Grid, width: int) -> list[RenderableType]:
    widths = [_width(header, [row[index] for row in grid.cells]) for index, header in enumerate(grid.headers)]
    kept = columns_that_fit([_priority(grid, column) for column in grid.columns], widths, width)
    rows = [_kept_cells(grid, row, kept) for row in grid.cells]
    below = [*_footnotes(grid, rows), *grid.notes, *_left_out(grid, kept)]
    return [
        *(Text(grid.heading, style="bold"), Text(grid.facts, style="dim"), Text()),
        *(_drawn(grid, kept, widths, rows), Text()),
        *(Text(line, style="dim") for line in below),
        Text(),
    ]


def _drawn(grid: Grid, kept: Sequence[int], widths: Sequence[int], rows: Sequence[Sequence[Cell]]) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for index in kept:
        number = grid.columns[index].dimension != "text"
        least = widths[index] if number else None
        drawn.add_column(_head(grid.headers[index]), justify="right" if number else "left", no_wrap=number, overflow="fold", min_width=least)
    for row in rows:
        drawn.add_row(*map(_cell, row))
    return drawn


def _kept_cells(grid: Grid, row: Sequence[Cell], kept: Sequence[int]) -> list[Cell]:
    """The cells to draw; the model bears the footnote of its flags where their column is left out."""
    keys = [column.key for column in grid.columns]
    flags = keys.index("flags") if "flags" in keys else None
    if flags is None or flags in kept or not row[flags].note:
        return [row[index] for index in kept]
    return [row[index]._replace(note=row[flags].note) if keys[index] == "model" else row[index] for index in kept]


def _footnotes(grid: Grid, rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Those that a drawn cell names."""
    named = {cell.note for row in rows for cell in row}
    return [f"({number}) {text}" for number, text in enumerate(grid.footnotes, 1) if number in named]


def _left_out(grid: Grid, kept: Sequence[int]) -> list[str]:
    names = ", ".join(header for index, header in enumerate(grid.headers) if index not in kept)
    return [f"Left out for width: {names}; see them with a wider terminal or --format md."] if names else []


def columns_that_fit(priorities: Sequence[int], widths: Sequence[int], width: int) -> list[int]:
    """Indices of the columns to draw, in order; those of priority 1 always stay, of equals the last goes first."""
    kept = list(range(len(priorities)))
    while sum(widths[index] + _GAP for index in kept) - _GAP > width:
        worst = max(kept, key=lambda index: (priorities[index], index))
        if priorities[worst] == 1:
            break
        kept.remove(worst)
    return kept


def _priority(grid: Grid, column: Column) -> int:
    return 1 if column.key in grid.telling else column.priority


def _width(header: str, cells: Sequence[Cell]) -> int:
    lines = [*_head(header).split("\n")]
    for cell in cells:
        lines += [cell.text + _mark(cell), cell.interval]
    return max(len(line) for line in lines)


def _head(header: str) -> str:
    """The header with its unit on a line of its own."""
    return header.replace(" (", "\n(")


def _mark(cell: Cell) -> str:
    return f" ({cell.note})" if cell.note else ""


def _cell(cell: Cell) -> Text:
    """Not markup: what a record says is shown as it is, brackets and colons included."""
    text = Text(cell.text + _mark(cell))
    return text.append(f"\n{cell.interval}", style="dim") if cell.interval else text
