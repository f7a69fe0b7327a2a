"""`harness records`: look at records, check them, copy them in, hand them to other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from harness.cli.output import next_command, remark, result
from harness.cli.profile import RECORDS
from harness.cli.reading import say_unread

if TYPE_CHECKING:
    from harness.core.measurement import Measurement, Missing
    from harness.core.record import ProfileRecord

FOLDER = typer.Option(RECORDS, "--records", help="Folder of records.")
JSON = typer.Option(False, "--json", help="Print JSON.")
BAD = 4


class Form(StrEnum):
    PARQUET = "parquet"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    verbs = typer.Typer(no_args_is_help=True, help="List, show, validate, import and export records.")
    app.add_typer(verbs, name="records")
    _register_reading(verbs)
    _register_copying(verbs)


def _register_reading(verbs: typer.Typer) -> None:
    @verbs.command("list", epilog="Example: harness records list --where runtime=onnxruntime")
    def list_records(
        records: Path = FOLDER,
        where: list[str] = typer.Option([], "--where", help="Only records that fit, as model=unet*; columns of text only; may be repeated."),
        json: bool = JSON,
    ) -> None:
        """One line per record, oldest first."""
        from harness.results.filters import record_fits, text_filters
        from harness.results.store import age, read_records

        filters = text_filters(where)
        found = read_records(records)
        kept = sorted((record for record in found.records if record_fits(record, filters)), key=age)
        result([_facts(record) for record in kept], json, _lines([_facts(record) for record in kept]))
        say_unread(found.problems)

    @verbs.command(epilog="Example: harness records show 1a2b3c4d")
    def show(record: str = typer.Argument(help="The id, or its first characters."), records: Path = FOLDER, json: bool = JSON) -> None:
        """All facts of one record, every quantity with its interval or the reason why it is missing."""
        from harness.results.store import read_records
        from harness.results.transfer import find_record

        found = find_record(read_records(records).records, record)
        result(found.model_dump(mode="json"), json, _shown(found))

    @verbs.command(epilog="Example: harness records validate --records bench_results/records")
    def validate(folder: Path | None = typer.Argument(None, help="As --records."), records: Path = FOLDER, json: bool = JSON) -> None:
        """Read every record; name every file that is not one, and exit with 4 if there are any."""
        from harness.results.store import read_records

        found = read_records(folder or records)
        bad = [{"path": str(problem.path), "reason": problem.reason} for problem in found.problems]
        said = [f"bad: {item['reason']}" for item in bad]
        result({"records": len(found.records), "bad": bad}, json, [*said, f"{len(found.records)} records can be read, {len(bad)} files can't"])
        if bad:
            raise typer.Exit(BAD)

    @verbs.command(epilog="Example: harness records schema --out record.schema.json")
    def schema(
        out: Path | None = typer.Option(None, "--out", help="Write to this file instead of standard output."),
        json: bool = typer.Option(False, "--json", help="Taken for uniformity: a schema is JSON anyhow."),
    ) -> None:
        """The JSON Schema of a record."""
        from harness.core.files import write_atomic
        from harness.results.schema import record_schema

        print(record_schema(), end="") if out is None else print(write_atomic(out, record_schema()))


def _register_copying(verbs: typer.Typer) -> None:
    @verbs.command("import", epilog="Example: harness records import orin-box/records --into bench_results/records")
    def import_records(
        source: Path = typer.Argument(help="A record file or a folder of records."),
        into: Path = typer.Option(RECORDS, "--into", help="Folder of records to add to."),
        json: bool = JSON,
    ) -> None:
        """Add records from elsewhere: each id once, each file whole; what is no readable record is named (exit code 4)."""
        from harness.results.transfer import import_records as copy

        done = copy(source, into)
        refused = [{"path": str(problem.path), "reason": problem.reason} for problem in done.refused]
        lines = [*map(str, done.new), f"{len(done.new)} records added, {len(done.known)} were there already, {len(refused)} refused"]
        result({"added": [str(path) for path in done.new], "known": list(done.known), "refused": refused}, json, lines)
        for problem in done.refused:
            remark(f"refused: {problem.reason}")
        if refused:
            raise typer.Exit(BAD)
        next_command("harness table", records=into)

    @verbs.command(epilog="Example: harness records export --format csv --out records.csv")
    def export(
        records: Path = FOLDER,
        form: Form = typer.Option(Form.PARQUET, "--format", help="Parquet needs pandas and pyarrow, CSV needs pandas."),
        out: Path | None = typer.Option(None, "--out", help="File to write (default: records.parquet or records.csv)."),
        json: bool = JSON,
    ) -> None:
        """One line per record and quantity, base units, for pandas, R, DuckDB or a spreadsheet."""
        from harness.results.store import read_records
        from harness.results.transfer import export_records

        path = out or Path(f"records.{form.value}")
        found = read_records(records)
        lines = export_records(found, path, form.value)
        result({"path": str(path), "rows": lines}, json, [str(path)])
        say_unread(found.problems)


def _facts(record: ProfileRecord) -> dict[str, Any]:
    from harness.results.row import text_of_record

    keys = ("machine", "data", "profile", "model", "regime", "runtime", "device", "precision", "batch", "tile", "threads")
    return {"record": record.id, "created": record.created, **{key: text_of_record(record, key) for key in keys}}


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    """Aligned columns; ids by their first characters, times to the second."""
    from harness.results.layout import printable

    if not rows:
        return ["No records."]
    short = [{**row, "record": row["record"][:8], "created": row["created"][:19]} for row in rows]
    widths = {key: max(len(key), *(len(row[key]) for row in short)) for key in short[0]}
    table = [{key: key for key in widths}, *short]
    return [printable("  ".join(f"{row[key]:<{width}}" for key, width in widths.items()).rstrip()) for row in table]


def _shown(record: ProfileRecord) -> list[str]:
    from harness.results.layout import printable

    about = {**_facts(record), "harness": record.harness_version, "cpu": record.environment.cpu, "gpu": record.environment.gpu or "-"}
    about |= {"fingerprint": record.environment.fingerprint, "artifact": record.cell.artifact_sha256, "checkpoint": record.cell.checkpoint_sha256}
    about |= {"commit": _commit(record), "command": record.command or "-"}
    width = max(map(len, [*about, *(outcome.quantity for outcome in record.outcomes)]))
    facts = [f"{key:<{width}}  {value}" for key, value in about.items()]
    figures = [f"{outcome.quantity:<{width}}  {_said(outcome)}" for outcome in record.outcomes]
    warned = [f"warning: {item.kind}: {item.message}" + (f" ({item.advice})" if item.advice else "") for item in record.warnings]
    return list(map(printable, [*facts, "", *figures, *([""] if warned else []), *warned]))


def _commit(record: ProfileRecord) -> str:
    """The commit of the repository in which the record was made."""
    code = record.detail.get("code") or {}
    return f"{code['commit']}{' with changes' if code.get('changed') else ''}" if code.get("commit") else "-"


def _said(outcome: Measurement | Missing) -> str:
    from harness.core.measurement import Missing
    from harness.core.quantity import quantity

    if isinstance(outcome, Missing):
        return f"- {outcome.why}: {' '.join(outcome.reason.split())}"
    interval = outcome.interval()
    between = f" [{interval.low:.6g}, {interval.high:.6g}]" if interval else ""
    samples = f"{len(outcome.samples)} sample{'s' * (len(outcome.samples) != 1)}"
    return f"{outcome.value:.6g}{between} {quantity(outcome.quantity).unit} ({samples})"
