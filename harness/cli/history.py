"""`harness history`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.cli.output import next_command, result
from harness.cli.profile import RECORDS
from harness.cli.reading import say_unread
from harness.core.errors import RecordError

if TYPE_CHECKING:
    from harness.results.history import History


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness history 'unet+unet' --quantity latency --where runtime=onnxruntime --out latency")
    def history(
        subject: str = typer.Argument(help="A model's name (* and ? as in file names), a condition as in table --where, or a checkpoint or artifact folder."),
        quantity: str = typer.Option("latency", "--quantity", help="See `harness list quantities`; a table's column of figures does too."),
        where: list[str] = typer.Option([], "--where", help="Only records that fit, by columns of text; may be repeated."),
        fingerprint: str = typer.Option("", "--fingerprint", help="Machine and versions, or the first characters (default: those of the newest record)."),
        records: Path = typer.Option(RECORDS, "--records", help="Folder of records."),
        out: Path | None = typer.Option(None, "--out", help="File name without suffix; PNG and SVG are written (needs matplotlib)."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """One quantity over the commits at which it was measured, on one machine, with the points where its level changed."""
        from harness.results.filters import record_fits, text_filters
        from harness.results.history import history as read_history
        from harness.results.render_history import lines_of, object_of
        from harness.results.store import collector_paused, read_records

        filters = text_filters([_condition(subject), *where])
        with collector_paused():
            known = read_records(records)
            fitting = [record for record in known.records if record_fits(record, filters)]
            if not fitting:
                wanted = " and ".join(item.text for item in filters)
                raise RecordError(f"none of {len(known.records)} records in {records} fits {wanted}", "harness records list")
            found = read_history(fitting, quantity, fingerprint)
        paths = [] if out is None else _drawn(found, out)
        result({**object_of(found), "paths": list(map(str, paths))}, json, [*lines_of(found), *map(str, paths)])
        say_unread(known.problems)
        if out is None:
            next_command(shlex.join(["harness", "history", subject, "--quantity", quantity, "--records", str(records), "--out", quantity]))


def _condition(subject: str) -> str:
    """A folder stands for its model, trained again included; what is no condition is a model's name."""
    from harness.core.artifact import read_subject

    if Path(subject).is_dir():
        return f"model={read_subject(Path(subject)).checkpoint.model}"
    return subject if any(mark in subject for mark in "=<>") else f"model={subject}"


def _drawn(found: History, stem: Path) -> list[Path]:
    from harness.core.registry import missing_package

    try:
        from harness.results.plot import write_picture
        from harness.results.plot_history import history_picture

        return write_picture(lambda: history_picture(found), stem)
    except ModuleNotFoundError as error:
        raise missing_package("harness history --out", error) from error
