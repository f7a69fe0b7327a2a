"""Records on disk: one JSON file each, written whole, never overwritten; a file that can't be read is named, never fatal.

Layout: <folder>/<machine>/<subject>/<profile>--<date>-<first 8 of the id>.json
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import RecordError
from harness.core.files import read_value, write_atomic
from harness.core.record import ProfileRecord

KNOWN_SCHEMAS = (1,)


@dataclass(frozen=True)
class Problem:
    """A file that is not a readable record; `reason` is one sentence that names the file."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Records:
    """The records of a folder in the order of their paths, and every file that could not be read."""

    records: tuple[ProfileRecord, ...] = ()
    problems: tuple[Problem, ...] = ()


def record_path(folder: Path, record: ProfileRecord) -> Path:
    """Where a record lies in `folder`."""
    name = f"{record.profile.name}--{record.created[:10]}-{record.id[:8]}.json"
    return folder / safe_name(record.environment.machine) / safe_name(record.cell.subject) / safe_name(name)


def write_record(folder: Path, record: ProfileRecord) -> Path:
    """Write a record atomically and return its path. Records are append-only: another record at that path raises RecordError."""
    path = record_path(folder, record)
    text = record.model_dump_json(indent=1) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise RecordError(f"{path} already holds another record, and records are never overwritten", "profile again: every run has its own id")
    return write_atomic(path, text)


def read_records(folder: Path) -> Records:
    """All records below `folder`; corrupt, half-written and unknown files come back as problems. Raises RecordError without the folder."""
    if not folder.is_dir():
        raise RecordError(f"{folder} is not a folder of records", "harness profile CHECKPOINT, or name the folder with --records")
    records: dict[str, tuple[Path, ProfileRecord]] = {}
    problems: list[Problem] = []
    with collector_paused():
        for path in record_files(folder):
            try:
                record = read_record(path)
            except RecordError as error:
                problems.append(Problem(path, error.message))
                continue
            first, _ = records.setdefault(record.id, (path, record))
            if first != path:
                problems.append(Problem(path, f"{path}: repeats the record {record.id} of {first}; counted once"))
    return Records(tuple(record for _, record in records.values()), tuple(problems))


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection within: records hold no cycles, and passes over a growing heap of them take a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def age(record: ProfileRecord) -> tuple[str, str]:
    """What older records have less of; equal times are decided by the id."""
    return record.created, record.id


def runs_of(records: Iterable[ProfileRecord], key: Callable[[ProfileRecord], Hashable]) -> list[list[ProfileRecord]]:
    """The records of each key, oldest first; the keys are in the order in which they first appear."""
    runs: dict[Hashable, list[ProfileRecord]] = {}
    for record in records:
        runs.setdefault(key(record), []).append(record)
    return [sorted(own, key=age) for own in runs.values()]


def read_record(path: Path) -> ProfileRecord:
    """The record in a file. Raises RecordError that names the file and what is wrong.

    A schema that changes what a field means gets a new number. The upgrade of older files is written here, on the parsed JSON before
    it becomes a ProfileRecord, one function per step, and the number joins KNOWN_SCHEMAS. New optional fields need no new number. So
    far there is one schema and nothing to upgrade.
    """
    if path.suffix == ".partial":
        raise RecordError(f"{path}: left by a write that did not finish; delete it")
    try:
        record = read_value(path, ProfileRecord, RecordError)
    except RecordError as error:
        raise _unknown_schema(path) or error from error
    if record.format_version not in KNOWN_SCHEMAS:
        raise _schema_error(path, record.format_version)
    return record


def _unknown_schema(path: Path) -> RecordError | None:
    """The error for a file that says another schema: what else is wrong with it follows from that."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    schema = content.get("schema") if isinstance(content, dict) else None
    return None if schema is None or schema in KNOWN_SCHEMAS else _schema_error(path, schema)


def _schema_error(path: Path, schema: object) -> RecordError:
    return RecordError(f"{path}: schema {schema} is not known to this version, which reads {KNOWN_SCHEMAS[-1]} and older", "update eo-harness")


def record_files(folder: Path) -> Iterator[Path]:
    """Every file below `folder` that is, or was to become, a record; sorted."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".json", ".partial")):
                yield Path(f"{place}/{name}")


def safe_name(name: str) -> str:
    """A file name without separators that can't climb out of its folder."""
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", name).lstrip(".") or "unknown"
