"""Records on disk: layout, append-only, and every bad file named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.core.errors import RecordError
from harness.core.record import ProfileRecord
from harness.results.accepted import accept
from harness.results.store import Records, read_records, record_path, runs_of, write_record
from tests.builders import checkpoint, profile, record


def test_a_record_survives_the_disk(tmp_path: Path) -> None:
    written = record(backend="onnxruntime")
    path = write_record(tmp_path, written)
    assert read_records(tmp_path) == Records((written,))
    assert path == record_path(tmp_path, written)
    assert path.relative_to(tmp_path).as_posix() == f"lab-1/unet+unet--onnxruntime-cpu--fp32/cpu-default--2026-11-21-{written.id[:8]}.json"


def test_a_long_name_of_a_model_or_its_settings_fits_into_a_folders_name(tmp_path: Path) -> None:
    """Otherwise a cell is measured and can't be kept."""
    alike = [record("m" * 240 + end) for end in "ab"]
    paths = [write_record(tmp_path, one) for one in alike]
    assert len({path.parent for path in paths}) == 2
    assert all(accept(tmp_path / "baselines", one, who="me", when="now", why="first", outcome="PASS").is_file() for one in alike)
    assert read_records(tmp_path / "lab-1").problems == ()


def test_writing_leaves_nothing_else_behind(tmp_path: Path) -> None:
    path = write_record(tmp_path, record())
    assert list(path.parent.iterdir()) == [path]


def test_records_are_append_only(tmp_path: Path) -> None:
    first = record()
    path = write_record(tmp_path, first)
    assert write_record(tmp_path, first) == path
    with pytest.raises(RecordError, match="already holds another record"):
        write_record(tmp_path, first.model_copy(update={"harness_version": "9"}))
    assert read_records(tmp_path).records == (first,)


@pytest.mark.parametrize("machine", ["../../etc", "..", "a/b", "/root", ""])
def test_no_machine_name_leaves_the_folder(tmp_path: Path, machine: str) -> None:
    path = write_record(tmp_path / "records", record(machine=machine))
    assert path.resolve().is_relative_to((tmp_path / "records").resolve())
    assert len(path.relative_to(tmp_path / "records").parts) == 3


BAD: dict[str, tuple[bytes, str]] = {
    "empty.json": (b"", "Invalid JSON"),
    "list.json": (b"[]", "the file"),
    "not-utf8.json": (b"\xff\xfe\x00", "Invalid JSON"),
    ".a.json.x.partial": (b"{", "did not finish"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_and_the_others_are_read(tmp_path: Path, name: str) -> None:
    good = record()
    write_record(tmp_path, good)
    content, reason = BAD[name]
    (tmp_path / name).write_bytes(content)
    found = read_records(tmp_path)
    assert found.records == (good,)
    assert [problem.path.name for problem in found.problems] == [name]
    assert reason in found.problems[0].reason
    assert name in found.problems[0].reason


def test_a_half_written_record_is_named(tmp_path: Path) -> None:
    path = write_record(tmp_path, record())
    path.write_bytes(path.read_bytes()[:900])
    found = read_records(tmp_path)
    assert found.records == ()
    assert str(path) in found.problems[0].reason
    assert "EOF" in found.problems[0].reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 7}, "schema 7 is not known"),
        ({"surprise": 1}, "unknown key 'surprise'; a newer version may have written it: update eo-harness"),
        ({"id": None}, "id:"),
    ],
)
def test_a_record_of_another_schema_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    path = write_record(tmp_path, record())
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    found = read_records(tmp_path)
    assert found.records == ()
    assert reason in found.problems[0].reason


def test_a_copy_is_counted_once_and_named(tmp_path: Path) -> None:
    path = write_record(tmp_path, record())
    copy = path.with_name("z-copy.json")
    copy.write_bytes(path.read_bytes())
    found = read_records(tmp_path)
    assert len(found.records) == 1
    assert [problem.path for problem in found.problems] == [copy]


def test_a_folder_named_like_a_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "lab.json").mkdir()
    assert read_records(tmp_path) == Records()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="not a folder of records"):
        read_records(tmp_path / "nothing")


def latest(records: list[ProfileRecord]) -> tuple[ProfileRecord, ...]:
    return tuple(own[-1] for own in runs_of(records, lambda record: (record.cell, record.profile_sha256, record.environment.machine)))


def test_latest_keeps_the_newest_of_each_cell_profile_and_machine() -> None:
    old, new = record(created="2026-11-20T10:00:00+00:00"), record(created="2026-11-21T10:00:00+00:00")
    elsewhere, otherwise = record(machine="lab-2"), record(profile=profile("ci"))
    retrained = record(made=checkpoint(weights_sha256="0" * 64))
    assert latest([new, old, elsewhere, otherwise, retrained]) == (new, elsewhere, otherwise, retrained)
    assert latest([old, new]) == (new,)
