"""Records in and out, and the published schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness.core.errors import RecordError, UnavailableError
from harness.results.schema import record_schema
from harness.results.store import read_records, write_record
from harness.results.transfer import export_records, find_record, import_records
from tests.builders import failed, latency, miou, record

SCHEMA = Path(__file__).parents[2] / "docs" / "record.schema.json"


def test_import_takes_each_record_once(tmp_path: Path) -> None:
    first, second = record(), record(backend="onnxruntime")
    write_record(tmp_path / "a", first)
    lone = write_record(tmp_path / "b", second)
    assert len(import_records(tmp_path / "a", tmp_path / "all").new) == 1
    done = import_records(lone, tmp_path / "all")
    assert read_records(tmp_path / "all").records == (second, first)
    assert done.new[0].is_relative_to(tmp_path / "all")
    again = import_records(tmp_path / "a", tmp_path / "all")
    assert (again.new, again.known, again.refused) == ((), (first.id,), ())


def test_what_is_no_record_is_refused_and_the_others_are_taken(tmp_path: Path) -> None:
    good = record()
    path = write_record(tmp_path / "a", good)
    content = json.loads(path.read_text())
    (tmp_path / "a" / "later.json").write_text(json.dumps({**content, "schema": 2, "new": 1}))
    (tmp_path / "a" / "half.json").write_text(path.read_text()[:500])
    (tmp_path / "a" / ".x.json.1.partial").write_text("{")
    done = import_records(tmp_path / "a", tmp_path / "all")
    assert read_records(tmp_path / "all").records == (good,)
    assert {problem.path.name for problem in done.refused} == {"later.json", "half.json", ".x.json.1.partial"}
    assert any("schema 2 is not known to this version, which reads 1" in problem.reason for problem in done.refused)


def test_another_record_under_a_known_id_is_refused(tmp_path: Path) -> None:
    good = record()
    write_record(tmp_path / "all", good)
    write_record(tmp_path / "a", good.model_copy(update={"harness_version": "9"}))
    (problem,) = import_records(tmp_path / "a", tmp_path / "all").refused
    assert "another record has the id" in problem.reason
    assert read_records(tmp_path / "all").records == (good,)


def test_importing_a_folder_into_itself_changes_nothing(tmp_path: Path) -> None:
    write_record(tmp_path, record())
    assert import_records(tmp_path, tmp_path).new == ()
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_nothing_to_import_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="does not exist"):
        import_records(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_export_has_a_line_per_record_and_quantity(tmp_path: Path, form: str) -> None:
    pandas = pytest.importorskip("pandas")
    if form == "parquet":
        pytest.importorskip("pyarrow")
    write_record(tmp_path / "r", record(measured=[latency(0.05), miou(0.9), failed("energy", 'no "counter", here')]))
    (tmp_path / "r" / "bad.json").write_text("{")
    path = tmp_path / f"out.{form}"
    assert export_records(read_records(tmp_path / "r"), path, form) == 3  # type: ignore[arg-type]
    read = pandas.read_csv(path) if form == "csv" else pandas.read_parquet(path)
    assert list(read.quantity) == ["latency", "miou", "energy"]
    assert read.value[1] == 0.9
    assert read.reason[2] == 'no "counter", here'


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    write_record(tmp_path / "r", record())
    real = sys.modules["importlib.util"].find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "pyarrow" else real(name, *rest))
    with pytest.raises(UnavailableError, match="pyarrow"):
        export_records(read_records(tmp_path / "r"), tmp_path / "out.parquet", "parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_record_is_found_by_the_start_of_its_id() -> None:
    rows = (record(id="abc1" + "0" * 28), record(id="abd2" + "0" * 28))
    assert find_record(rows, "ABD") is rows[1]
    with pytest.raises(RecordError, match="2 records have an id that starts with 'ab'"):
        find_record(rows, "ab")
    with pytest.raises(RecordError, match="no record has an id that starts with 'x'"):
        find_record(rows, "x")


def test_the_published_schema_is_current() -> None:
    """To write it again: harness records schema --out docs/record.schema.json."""
    assert SCHEMA.read_text(encoding="utf-8") == record_schema()


def test_a_record_fits_the_schema_and_a_wrong_one_does_not() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    good = json.loads(record(measured=[latency(0.05), failed("energy", "none")]).model_dump_json())
    jsonschema.validate(good, schema)
    for wrong in ({"surprise": 1}, {"id": 5}, {"outcomes": [{"kind": "guess"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**good, **wrong}, schema)


def test_text_of_an_exported_csv_is_no_formula(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    folder = tmp_path / "records"
    write_record(folder, record("=cmd+x", measured=[latency(0.05), failed("miou", "@SUM(A1)")]))
    export_records(read_records(folder), tmp_path / "out.csv", "csv")
    text = (tmp_path / "out.csv").read_text()
    assert ",'=cmd+x," in text
    assert ",'@SUM(A1)" in text
    assert ",0.05," in text
