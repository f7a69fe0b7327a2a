"""`harness plot`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from harness.cli.output import result
from harness.cli.profile import RECORDS
from harness.cli.reading import filtered_table, front_from
from harness.core.errors import ConfigError

if TYPE_CHECKING:
    from harness.results.table import Group, Table


class Kind(StrEnum):
    TRADEOFF = "tradeoff"
    MEMORY = "memory"
    CLASSES = "classes"
    BATCH = "batch"
    LAYERS = "layers"
    ROOFLINE = "roofline"


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness plot --front miou,peak_host_memory,artifact_size --where device=cpu")
    def plot(
        records: Path = typer.Option(RECORDS, "--records", help="Folder of records."),
        kind: Kind = typer.Option(
            Kind.TRADEOFF, "--kind", help="What to draw; memory is by phase, classes their IoU, batch the latency by batch, layers the time by stage."
        ),
        front: str | None = typer.Option(
            None, "--front", help="Quantities of the tradeoff: the first up, each of the others across in a panel (default: miou,latency,forward_flops)."
        ),
        where: list[str] = typer.Option([], "--where", help="Only rows that fit, as in harness table; may be repeated."),
        out: Path | None = typer.Option(None, "--out", help="File name without suffix (default: the kind); PNG and SVG are written."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Draw a tradeoff with its Pareto front, usually mIoU against latency and GFLOP, or another kind of picture; one per table of harness table.

        Layers need views that `harness profile --layers` wrote, the roofline a profile with the probe roofline.
        """
        from harness.core.registry import missing_package

        stem = out or Path(kind.value)
        quantities = _quantities(front, kind)
        table = filtered_table(records, where)
        if quantities:
            _refuse_absent(quantities, table)
        try:
            from harness.results.plot import draw

            picture_from = _picture_from(kind, records, quantities)
            several = len(table.groups) > 1
            stems = [stem.with_name(f"{stem.name}-{number}") if several else stem for number in range(1, len(table.groups) + 1)]
            written = [path for group, place in zip(table.groups, stems, strict=True) for path in draw(group, place, picture_from)]
        except ModuleNotFoundError as error:
            raise missing_package("harness plot", error) from error
        result({"paths": [str(path) for path in written]}, json, [str(path) for path in written])


def _quantities(front: str | None, kind: Kind) -> tuple[str, ...]:
    """Those that the user named, else none. Raises ConfigError for a picture that has no front."""
    if front is None:
        return ()
    if kind is not Kind.TRADEOFF:
        raise ConfigError(f"--front is of the tradeoff, and --kind {kind.value} has none", "harness plot --front miou,peak_host_memory")
    return front_from(front)


def _refuse_absent(quantities: Sequence[str], table: Table) -> None:
    """Raises ConfigError for a quantity of which no row has a figure."""
    from harness.results.columns import MEASURED
    from harness.results.figure import Figure

    rows = [row for group in table.groups for row in group.rows]
    there = [key for key in MEASURED if any(isinstance(row.entries[key], Figure) for row in rows)]
    absent = [key for key in quantities if key not in there]
    if absent:
        raise ConfigError(f"no row has a figure of {', '.join(absent)}; there are {', '.join(there)}", "harness plot --front miou,latency")


def _picture_from(kind: Kind, records: Path, quantities: Sequence[str]) -> Callable[[Group], Any]:
    from harness.results.plot_kinds import KINDS
    from harness.results.plot_tradeoff import picture_of

    if quantities:
        return lambda group: picture_of(group, quantities)
    if kind is not Kind.LAYERS:
        return KINDS[kind.value]
    from harness.results.plot_layers import layers_picture, views_of

    return lambda group: layers_picture(group, views_of(group, records))
