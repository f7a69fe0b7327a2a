"""`harness recommend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.cli.output import next_command, result
from harness.cli.profile import RECORDS
from harness.cli.reading import filtered_table

if TYPE_CHECKING:
    from harness.results.recommend import Asked

NONE_FITS = 1


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness recommend --max-latency 50ms --max-memory 1GB --min-miou 0.6")
    def recommend(
        max_latency: str | None = typer.Option(None, "--max-latency", help="On the median of one call, as 50ms."),
        max_p95: str | None = typer.Option(None, "--max-p95", help="On the 95th percentile of one call, as 80ms."),
        max_memory: str | None = typer.Option(None, "--max-memory", help="Peak memory of the device that runs the model, as 1GB."),
        max_size: str | None = typer.Option(None, "--max-size", help="Size on disk, as 200MB."),
        max_flops: str | None = typer.Option(None, "--max-flops", help="Compute of one input, as 20GFLOP."),
        max_energy: str | None = typer.Option(None, "--max-energy", help="Energy of one call, as 2J."),
        min_miou: str | None = typer.Option(None, "--min-miou", help="As 0.6 or 60%."),
        min_throughput: str | None = typer.Option(None, "--min-throughput", help="As 5Mpx/s."),
        best: str = typer.Option("miou", "--best", help="Column that decides among those that fit."),
        machine: str | None = typer.Option(None, "--machine", help="Only records of this machine; * and ? as in file names."),
        where: list[str] = typer.Option([], "--where", help="Only rows that fit, as in harness table; may be repeated."),
        records: Path = typer.Option(RECORDS, "--records", help="Folder of records."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """The model and runtime to deploy under limits, the runner-up, and what each limit costs. Exit code 1 where none fits."""
        from harness.results.recommend import recommend as choose
        from harness.results.render_recommendation import lines_of, object_of
        from harness.results.store import collector_paused

        given = {"max-latency": max_latency, "max-p95": max_p95, "max-memory": max_memory, "max-size": max_size, "max-flops": max_flops}
        given |= {"max-energy": max_energy, "min-miou": min_miou, "min-throughput": min_throughput}
        limits = [_asked(name, text) for name, text in given.items() if text is not None]
        filters = [*where, *([f"machine={machine}"] if machine else [])]
        with collector_paused():
            answers = [choose(group, limits, best) for group in filtered_table(records, filters).groups]
        result([object_of(answer) for answer in answers], json, [line for answer in answers for line in [*lines_of(answer), ""]][:-1])
        if not any(answer.best for answer in answers):
            raise typer.Exit(NONE_FITS)
        chosen = next(answer.best for answer in answers if answer.best)
        next_command(f"harness records show {chosen.record.id[:8]}", records=records)


_QUANTITIES = {
    "max-latency": ("latency", "p50"),
    "max-p95": ("latency", "p95"),
    "max-memory": ("memory", "p50"),
    "max-size": ("artifact_size", "p50"),
    "max-flops": ("forward_flops", "p50"),
    "max-energy": ("energy", "p50"),
    "min-miou": ("miou", "p50"),
    "min-throughput": ("throughput", "p50"),
}


def _asked(name: str, text: str) -> Asked:
    from harness.results.amounts import limit_from
    from harness.results.recommend import Asked
    from harness.results.render_recommendation import column_of

    quantity, statistic = _QUANTITIES[name]
    value = limit_from(f"--{name}", text, column_of(quantity).dimension)
    return Asked(f"--{name} {text}", quantity, statistic, **{name[:3]: value})
