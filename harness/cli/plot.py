"""`harness plot`."""

from __future__ import annotations

from pathlib import Path

import typer

from harness.cli.output import result
from harness.cli.profile import RECORDS


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness plot --records bench_results/records --out tradeoff")
    def plot(
        records: Path = typer.Option(RECORDS, "--records", help="Folder of records."),
        out: Path = typer.Option(Path("tradeoff"), "--out", help="File name without suffix; PNG and SVG are written."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Draw mIoU against latency and against GFLOP, with error bars and the Pareto front."""
        from harness.core.registry import missing_package
        from harness.results.store import read_records
        from harness.results.table import table_from_records

        table = table_from_records(read_records(records))
        try:
            from harness.results.plot import draw

            several = len(table.groups) > 1
            stems = [out.with_name(f"{out.name}-{number}") if several else out for number in range(1, len(table.groups) + 1)]
            written = [path for group, stem in zip(table.groups, stems, strict=True) for path in draw(group, stem)]
        except ModuleNotFoundError as error:
            raise missing_package("harness plot", error) from error
        result({"paths": [str(path) for path in written]}, json, [str(path) for path in written])
