"""`harness flops`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from harness.cli.output import next_command, progress

if TYPE_CHECKING:
    from harness.support.counters import ModelCount

#: Columns where the output is a file or a pipe: wide enough for every column.
FULL_WIDTH = 200


class Format(StrEnum):
    TERMINAL = "terminal"
    MD = "md"
    CSV = "csv"
    JSON = "json"


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness flops remoteclip dofa+fpn timm:resnet50 --tile 512")
    def flops(
        models: list[str] = typer.Argument(None, metavar="[MODEL]...", help="Pairs, or encoders for their pair in Cryo-Bench; default: all 16 of the paper."),
        tile: int = typer.Option(512, "--tile", min=1, help="Side in pixels of a tile, which takes as few inputs as cover it."),
        form: Format = typer.Option(Format.TERMINAL, "--format", help="How to write it."),
        json: bool = typer.Option(False, "--json", help="The same as --format json."),
    ) -> None:
        """Multiply-adds of models by three counters, beside what Cryo-Bench publishes. Needs no weights, no data and no GPU."""
        from harness.support.counters import count_model, pair_of
        from harness.support.cryo_bench import published

        wanted = list(dict.fromkeys(map(pair_of, models or published())))
        counts = []
        with progress("counting") as report:
            for done, model in enumerate(wanted):
                report(done, len(wanted), model)
                counts.append(count_model(model, tile=tile))
        _show(counts, Format.JSON if json else form)
        next_command(f"harness train {wanted[0]} --data synthetic")


def _show(counts: Sequence[ModelCount], form: Format) -> None:
    from harness.cli import flops_table

    if form is Format.JSON:
        from json import dumps

        print(dumps([flops_table.object_of(count) for count in counts], indent=1))
    elif form is Format.TERMINAL:
        from rich.console import Console

        console = Console()
        (console if console.is_terminal else Console(width=FULL_WIDTH)).print(flops_table.terminal(counts))
    else:
        print(flops_table.markdown(counts) if form is Format.MD else flops_table.as_csv(counts), end="")
