"""Records out to other tools and in from other folders."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.core.errors import RecordError, UnavailableError
from harness.core.files import write_atomic
from harness.core.record import ProfileRecord
from harness.results.render_csv import text_cell
from harness.results.store import Problem, Records, read_record, read_records, record_files, write_record


@dataclass(frozen=True, slots=True)
class Imported:
    """`new` are the paths written, `known` the ids that were there already, `refused` the files left out with the reason."""

    new: tuple[Path, ...]
    known: tuple[str, ...]
    refused: tuple[Problem, ...]


def import_records(source: Path, into: Path) -> Imported:
    """Copy the records of a file or folder into a folder of records, each whole or not at all, each id once.

    Raises RecordError where `source` does not exist. A file that is no record of a known schema, or that holds another record under
    an id that is there already, is refused and named.
    """
    if not source.exists():
        raise RecordError(f"{source} does not exist", "give a record file or a folder of records")
    known = {record.id: record for record in read_records(into).records} if into.is_dir() else {}
    new: list[Path] = []
    again: list[str] = []
    refused: list[Problem] = []
    for path in record_files(source) if source.is_dir() else (source,):
        try:
            record = read_record(path)
            if _is_known(record, known, path):
                again.append(record.id)
                continue
            new.append(write_record(into, record))
            known[record.id] = record
        except RecordError as error:
            refused.append(Problem(path, error.message))
    return Imported(tuple(new), tuple(again), tuple(refused))


def _is_known(record: ProfileRecord, known: dict[str, ProfileRecord], path: Path) -> bool:
    if record.id not in known:
        return False
    if known[record.id] != record:
        raise RecordError(f"{path}: another record has the id {record.id} already, and records are never overwritten")
    return True


def export_records(found: Records, path: Path, form: Literal["csv", "parquet"]) -> int:
    """Write one line per record and quantity (see `frames`), atomically, and return the number of lines. Raises UnavailableError."""
    from harness.results.frames import frame_from_records

    made = frame_from_records(found)
    if form == "csv":
        safe = made.apply(lambda column: column.map(lambda value: text_cell(value) if isinstance(value, str) else value))
        write_atomic(path, safe.to_csv(index=False))
        return len(made)
    if importlib.util.find_spec("pyarrow") is None:
        raise UnavailableError("Parquet needs the package pyarrow", "pip install pyarrow, or --format csv")
    # Names of files in this machine's folders are no part of the data.
    made.attrs.clear()
    content = io.BytesIO()
    made.to_parquet(content, index=False)
    write_atomic(path, content.getvalue())
    return len(made)


def find_record(records: Iterable[ProfileRecord], prefix: str) -> ProfileRecord:
    """The one record whose id starts with `prefix`. Raises RecordError where there is none, or several."""
    found = [record for record in records if record.id.startswith(prefix.lower())]
    if not found:
        raise RecordError(f"no record has an id that starts with {prefix!r}", "harness records list")
    if len(found) > 1:
        named = ", ".join(record.id[:12] for record in found[:5])
        raise RecordError(f"{len(found)} records have an id that starts with {prefix!r}: {named}", "more characters of the id")
    return found[0]
