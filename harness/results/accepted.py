"""Baselines: copies of records that checks compare with, and the log of who moved them, when and why.

Layout: <folder>/<machine>/<subject>--<profile>.json, and <folder>/log.jsonl, one line per move, appended.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from harness.core.errors import RecordError
from harness.core.files import cannot_write, write_value
from harness.core.record import ProfileRecord
from harness.results.store import read_record, safe_name

BASELINES = Path("bench_results/baselines")
LOG = "log.jsonl"


def baseline_path(folder: Path, machine: str, subject: str, profile: str) -> Path:
    """Where the baseline of a subject (`Cell.subject`) under a profile on a machine lies."""
    return folder / safe_name(machine) / safe_name(f"{subject}--{profile}.json")


def accepted_record(folder: Path, machine: str, subject: str, profile: str) -> ProfileRecord:
    """The accepted baseline. Raises RecordError where none was accepted yet."""
    path = baseline_path(folder, machine, subject, profile)
    if not path.is_file():
        again = f'harness check SUBJECT --against SUBJECT --profile {profile} --accept --reason "first baseline"'
        raise RecordError(f"{path} is not there: no baseline was accepted yet", again)
    return read_record(path)


def accept(folder: Path, record: ProfileRecord, *, who: str, when: str, why: str, outcome: str) -> Path:
    """Make `record` the baseline and say so in the log. Raises RecordError without a reason."""
    if not why.strip():
        raise RecordError("a baseline moves only with a reason", '--accept --reason "larger head, agreed in review"')
    path = baseline_path(folder, record.environment.machine, record.cell.subject, record.profile.name)
    before = read_record(path).id if path.is_file() else None
    write_value(path, record)
    line = {"when": when, "who": who, "why": why, "baseline": str(path.relative_to(folder)), "from": before, "to": record.id, "outcome": outcome}
    _append(folder / LOG, json.dumps(line, ensure_ascii=False))
    return path


def _append(path: Path, line: str) -> None:
    """One write in append mode, so that two checks that end together don't mix their lines."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error
