"""`harness table`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.cli.output import next_command, remark
from harness.cli.profile import RECORDS
from harness.core.errors import ConfigError

if TYPE_CHECKING:
    from harness.results.table import Table


#: Columns where the output is a file or a pipe: wide enough for every column.
FULL_WIDTH = 250


class Format(StrEnum):
    TERMINAL = "terminal"
    MD = "md"
    CSV = "csv"
    JSON = "json"
    LATEX = "latex"


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness table --records bench_results/records --format md")
    def table(
        records: Path = typer.Option(RECORDS, "--records", help="Folder of records."),
        form: Format = typer.Option(Format.TERMINAL, "--format", help="How to write it."),
        sort: str = typer.Option("miou", "--sort", help="Column to sort by, best first."),
        out: Path | None = typer.Option(None, "--out", help="Write to this file instead of standard output."),
        json: bool = typer.Option(False, "--json", help="The same as --format json."),
    ) -> None:
        """Accuracy against compute: one row per model, runtime and precision, with intervals and the Pareto front."""
        from harness.core.files import write_atomic
        from harness.results.store import read_records
        from harness.results.table import table_from_records

        found = read_records(records)
        drawn = table_from_records(found, sort=sort)
        chosen = Format.JSON if json else form
        if out is not None:
            print(write_atomic(out, _text(drawn, chosen)))
        elif chosen is Format.TERMINAL:
            _show(drawn)
        else:
            print(_text(drawn, chosen), end="")
        for problem in found.problems if chosen in (Format.CSV, Format.JSON, Format.LATEX) else ():  # the others show them
            remark(f"not read: {problem.reason}")
        next_command(f"harness plot --records {records}")


def _text(table: Table, form: Format) -> str:
    """The table as text; only the renderer that is asked for is loaded."""
    from importlib import import_module

    if form is Format.TERMINAL:
        raise ConfigError("a terminal table is not a file", "add --format md, csv, json or latex")
    names = {Format.MD: "markdown", Format.CSV: "csv", Format.JSON: "json", Format.LATEX: "latex"}
    return str(import_module(f"harness.results.render_{names[form]}").render(table))


def _show(table: Table) -> None:
    """Draw in the terminal at its width, or at full width into a file or a pipe."""
    from rich.console import Console

    from harness.results.render_terminal import render

    console = Console()
    if not console.is_terminal:
        console = Console(width=FULL_WIDTH)
    console.print(render(table, console.width))
