"""`harness report`."""

from __future__ import annotations

import functools
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.cli.output import remark
from harness.cli.profile import RECORDS
from harness.cli.reading import say_unread
from harness.core.errors import ConfigError

if TYPE_CHECKING:
    from harness.core.record import ProfileRecord

NOT_READY = 1


class Format(StrEnum):
    HTML = "html"
    MARKDOWN = "md"
    JSON = "json"


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness report runs/unet+unet--synthetic--scratch--seed0 --profile cpu-default --out report.html")
    def report(
        subject: Path = typer.Argument(help="A checkpoint or artifact folder, a model's file, or a record's .json file."),
        profile: str | None = typer.Option(None, "--profile", help="A profile's YAML file or name (default: the record's own, or cpu-default)."),
        form: Format | None = typer.Option(None, "--format", help="html (one file that needs no network; the default), md or json."),
        json: bool = typer.Option(False, "--json", help="Print JSON; with --format or --out, beside that file."),
        out: Path | None = typer.Option(None, "--out", help="File to write (default: standard output, for html report.html)."),
        records: Path = typer.Option(RECORDS, "--records", help="Folder of records."),
        machine: str | None = typer.Option(None, "--machine", help="Judge by this machine's records; needed where several measured it."),
        data: str | None = typer.Option(None, "--data", help="Judge by scores on this data set (default: the one that the model was trained on)."),
        strict: bool = typer.Option(False, "--strict", help="Exit code 1 also where it is UNKNOWN."),
    ) -> None:
        """Is it ready for a deployment profile? READY, NOT READY (exit code 1) or UNKNOWN, with everything that the answer rests on."""
        from json import dumps

        from harness.core.deployment import read_profile
        from harness.core.files import write_atomic
        from harness.results import render_report
        from harness.results.layout import printable
        from harness.results.readiness import Answer, readiness
        from harness.results.store import read_record

        is_record = subject.suffix == ".json" and subject.is_file()
        found = [(read_record(subject), subject)] if is_record else _records_of(subject, records)
        settings = found[0][0].profile if is_record and profile is None else read_profile(profile or "cpu-default")
        own_data = found[0][0].data.name if is_record and found[0][0].data else None
        judged = readiness(str(subject), found, settings, machine=machine, data=data or own_data)
        pairs = (("--profile", profile), ("--records", None if is_record or records == RECORDS else records), ("--machine", machine), ("--data", data))
        options, place = {name: str(value) for name, value in pairs if value is not None}, str(records)
        if form is None and not (json and out is None):
            form = Format.HTML
        as_json = functools.cache(lambda: dumps(render_report.object_of(judged, options=options, records=place), indent=1))
        texts = {
            Format.HTML: lambda: render_report.html(judged, options=options, records=place),
            Format.MARKDOWN: lambda: render_report.markdown(judged, options=options, records=place),
        }
        text = texts.get(form or Format.JSON, as_json)()
        target = out or (Path("report.html") if form is Format.HTML else None)
        written = write_atomic(target, text + "\n") if target else None
        print(as_json() if json else written or text)
        remark(printable(f"{judged.answer}: {render_report.headline(judged)}"))
        if judged.answer is Answer.NOT_READY or (strict and judged.answer is Answer.UNKNOWN):
            raise typer.Exit(NOT_READY)


def _records_of(subject: Path, folder: Path) -> list[tuple[ProfileRecord, Path | None]]:
    """The records of a model in a folder: by the hash of the file, or of its checkpoint, which stands for its artifacts too."""
    from harness.core.artifact import read_subject
    from harness.results.store import read_records, record_path
    from harness.support.foreign import sha256_of_model

    made_of = None
    if subject.is_file():
        wanted = {sha256_of_model(subject)}
    elif subject.is_dir():
        artifact = read_subject(subject)
        made_of = artifact.checkpoint_sha256
        # Older records have the file's own hash, which of an OpenVINO graph says nothing of its weights; the checkpoint's does.
        wanted = {made_of} if artifact.format == "checkpoint" else {artifact.identity, artifact.sha256}
    else:
        raise ConfigError(f"{subject} does not exist", "give a checkpoint or artifact folder, a model's file, or a record")
    if not folder.is_dir():
        return []
    known = read_records(folder)
    say_unread(known.problems)
    cells = [(record, {record.cell.artifact_sha256, record.cell.checkpoint_sha256}) for record in known.records]
    return [(record, record_path(folder, record)) for record, own in cells if own & wanted and (made_of is None or made_of in own)]
