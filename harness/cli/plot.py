"""`harness plot`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from harness.cli.output import result
from harness.cli.profile import RECORDS
from harness.cli.reading import filtered_table

if TYPE_CHECKING:
    from harness.results.table import Group


class Kind(StrEnum):
    TRADEOFF = "tradeoff"
    MEMORY = "memory"
    CLASSES = "classes"
    BATCH = "batch"
    LAYERS = "layers"
    ROOFLINE = "roofline"


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness plot --kind memory --where device=cpu")
    def plot(
        records: Path = typer.Option(RECORDS, "--records", help="Folder of records."),
        kind: Kind = typer.Option(
            Kind.TRADEOFF, "--kind", help="What to draw; memory is by phase, classes their IoU, batch the latency by batch, layers the time by stage."
        ),
        where: list[str] = typer.Option([], "--where", help="Only rows that fit, as in harness table; may be repeated."),
        out: Path | None = typer.Option(None, "--out", help="File name without suffix (default: the kind); PNG and SVG are written."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Draw mIoU against latency and GFLOP with the Pareto front, or another kind of picture; one per table of harness table.

        Layers need views that `harness profile --layers` wrote, the roofline a profile with the probe roofline.
        """
        from harness.core.registry import missing_package

        stem = out or Path(kind.value)
        table = filtered_table(records, where, "a picture")
        try:
            from harness.results.plot import draw

            picture_from = _picture_from(kind, records)
            several = len(table.groups) > 1
            stems = [stem.with_name(f"{stem.name}-{number}") if several else stem for number in range(1, len(table.groups) + 1)]
            written = [path for group, place in zip(table.groups, stems, strict=True) for path in draw(group, place, picture_from)]
        except ModuleNotFoundError as error:
            raise missing_package("harness plot", error) from error
        result({"paths": [str(path) for path in written]}, json, [str(path) for path in written])


def _picture_from(kind: Kind, records: Path) -> Callable[[Group], Any]:
    from harness.results.plot_kinds import KINDS

    if kind is not Kind.LAYERS:
        return KINDS[kind.value]
    from harness.results.plot_layers import layers_picture, views_of

    return lambda group: layers_picture(group, views_of(group, records))
