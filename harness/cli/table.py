"""`harness table`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.cli.output import next_command, remark
from harness.cli.profile import RECORDS
from harness.cli.reading import front_from, say_unread
from harness.core.errors import ConfigError

if TYPE_CHECKING:
    from harness.results.table import Table, View


#: Columns where the output is a file or a pipe: wide enough for every column.
FULL_WIDTH = 250
#: Rows of each table in a terminal, where nobody reads thousands.
TERMINAL_ROWS = 100
#: Of an hour, or of a kWh in g CO2: what is computed from it stays finite.
MOST_PRICE = 1e12


class Format(StrEnum):
    TERMINAL = "terminal"
    MD = "md"
    CSV = "csv"
    JSON = "json"
    LATEX = "latex"
    HTML = "html"


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness table --where runtime=onnxruntime --where 'latency<50ms' --columns model,miou,latency,record --format md")
    def table(
        records: Path = typer.Option(RECORDS, "--records", help="Folder of records."),
        form: Format = typer.Option(Format.TERMINAL, "--format", help="How to write it; html is a page to explore."),
        sort: str = typer.Option("miou", "--sort", help="Column to sort by, best first."),
        front: str = typer.Option("miou,latency", "--front", help="Quantities of the Pareto front, two or more."),
        columns: str = typer.Option("", "--columns", help="Comma-separated columns to show, in this order."),
        where: list[str] = typer.Option([], "--where", help="Show only rows that fit, as runtime=onnxruntime or 'latency<50ms'; may be repeated."),
        group: str = typer.Option("machine,data,profile", "--group", help="Columns that separate tables; machines and data sets never mix."),
        rows: int | None = typer.Option(None, "--rows", min=1, help="At most this many rows of each table (default: all, 100 in a terminal)."),
        price_per_hour: float | None = typer.Option(
            None, "--price-per-hour", min=0, max=MOST_PRICE, help="Price of an hour of the machine: adds cost per million km2."
        ),
        grid_intensity: float | None = typer.Option(
            None, "--grid-intensity", min=0, max=MOST_PRICE, help="g CO2 per kWh: adds CO2 per million km2 where energy was measured."
        ),
        out: Path | None = typer.Option(None, "--out", help="Write to this file instead of standard output."),
        json: bool = typer.Option(False, "--json", help="The same as --format json."),
    ) -> None:
        """Accuracy against compute: one row per model, runtime and precision, with intervals and the Pareto front."""
        from harness.results.store import collector_paused

        axes = front_from(front)
        chosen = Format.JSON if json else form
        most = TERMINAL_ROWS if rows is None and chosen is Format.TERMINAL else rows
        view = view_from(columns=columns, where=where, group=group, prices=(price_per_hour, grid_intensity), rows=most)
        with collector_paused():
            has_rows = _write(records, view, orders=(sort, axes), form=chosen, out=out)
        if has_rows:
            next_command("harness plot", records=records)


def _write(folder: Path, view: View, *, orders: tuple[str, tuple[str, ...]], form: Format, out: Path | None) -> bool:
    """Whether the table that was written has rows. `orders`: the column to sort by, and those of the front."""
    from harness.core.files import write_atomic
    from harness.results.store import read_records
    from harness.results.table import table_from_records

    found = read_records(folder)
    drawn = table_from_records(found, sort=orders[0], axes=orders[1], view=view)
    if view.where and found.records and not drawn.groups:
        remark(f"none of {len(found.records)} records fits {' and '.join(item.text for item in view.where)}")
    if out is not None:
        print(write_atomic(out, _text(drawn, form)))
    elif form is Format.TERMINAL:
        _show(drawn)
    else:
        print(_text(drawn, form), end="")
    say_unread(found.problems if form in (Format.CSV, Format.JSON, Format.LATEX) else ())  # the others show them
    return bool(drawn.groups)


def view_from(*, columns: str, where: list[str], group: str, prices: tuple[float | None, float | None], rows: int | None) -> View:
    """The view that the options ask for; `prices` are of an hour and of a kWh in g CO2. Raises ConfigError."""
    from harness.results.area import Prices
    from harness.results.columns import chosen_columns
    from harness.results.filters import filter_from_text
    from harness.results.grouping import group_keys
    from harness.results.table import View

    filters = tuple(filter_from_text(text) for text in where)
    return View(by=group_keys(group), where=filters, columns=chosen_columns(columns), prices=Prices(*prices), rows=rows)


def _text(table: Table, form: Format) -> str:
    """The table as text; only the renderer that is asked for is loaded."""
    from importlib import import_module

    if form is Format.TERMINAL:
        raise ConfigError("a terminal table is not a file", "add --format md, csv, json, latex or html")
    names = {Format.MD: "markdown", Format.CSV: "csv", Format.JSON: "json", Format.LATEX: "latex", Format.HTML: "html"}
    return str(import_module(f"harness.results.render_{names[form]}").render(table))


def _show(table: Table) -> None:
    """Draw in the terminal at its width, or at full width into a file or a pipe."""
    from rich.console import Console

    from harness.results.render_terminal import render

    console = Console()
    if not console.is_terminal:
        console = Console(width=FULL_WIDTH)
    console.print(render(table, console.width))
