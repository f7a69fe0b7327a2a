"""A table as LaTeX with booktabs rules; the document needs the packages booktabs and graphicx (the table is scaled to the line)."""

from __future__ import annotations

from collections.abc import Iterable

from harness.results.layout import Cell, Grid, grid_from_group, problem_lines
from harness.results.table import Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def render(table: Table) -> str:
    """One `table*` per group; files that could not be read are comments at the end."""
    head = "% needs \\usepackage{booktabs,graphicx}"
    return "\n\n".join([head, *(_float(grid_from_group(group)) for group in table.groups), *_comments(problem_lines(table))]) + "\n"


def _float(grid: Grid) -> str:
    aligned = "".join("l" if column.dimension == "text" else "r" for column in grid.columns)
    lines = [r"\begin{table*}", r"\centering", rf"\caption{{{escape(grid.heading)}. {escape(grid.facts)}.}}"]
    lines += [r"\resizebox{\linewidth}{!}{%", rf"\begin{{tabular}}{{{aligned}}}", r"\toprule", _line(map(escape, grid.headers)), r"\midrule"]
    lines += [_line(map(_cell, row)) for row in grid.cells]
    lines += [r"\bottomrule", r"\end{tabular}}", r"\par\smallskip\raggedright\footnotesize"]
    lines += [rf"\textsuperscript{{{number}}} {escape(text)}\par" for number, text in enumerate(grid.footnotes, 1)]
    lines += [rf"{escape(note)}\par" for note in grid.notes]
    return "\n".join([*lines, r"\end{table*}"])


def escape(text: str) -> str:
    """Text with every character that LaTeX reads as a command made plain."""
    return "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))


def _line(cells: Iterable[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _cell(cell: Cell) -> str:
    note = rf"\textsuperscript{{{cell.note}}}" if cell.note else ""
    # A brace first, so that "[" after "\\" of the line before is never read as its optional length.
    text = "--" if cell.text == "-" else escape(cell.text)
    return " ".join(part for part in (f"{{}}{text}{note}" if text.startswith("[") else text + note, cell.interval) if part)


def _comments(lines: Iterable[str]) -> list[str]:
    commented = "\n".join(f"% {line}" for line in lines)
    return [commented] if commented else []
