"""`harness records`, `harness recommend` and the options of `harness table`, through the command line."""

import itertools
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.main import run
from harness.core.artifact import DataUse
from harness.core.registry import DATASETS
from harness.results.store import write_record
from tests.builders import checkpoint, fake_checkpoint, latency, miou, outcomes, record, single


@pytest.fixture
def records(tmp_path):
    made = checkpoint(dataset=DataUse(name="ice", version="1", gsd_m=10.0, tile=128))
    folder = tmp_path / "records"
    for backend, p50 in (("torch_eager", 0.08), ("onnxruntime", 0.04)):
        write_record(folder, record(made=made, backend=backend, measured=outcomes(p50=p50)))
    write_record(folder, record("vit+linear", backend="onnxruntime", measured=[latency(0.01), miou(0.7), single("peak_host_memory", 3e8)], data=made.dataset))
    return folder


def said(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run([str(argument) for argument in arguments]) == code
    return capsys.readouterr()


def test_list_and_show(records, capsys):
    rows = json.loads(said(capsys, "records", "list", "--records", records, "--json").out)
    assert len(rows) == 3
    lines = said(capsys, "records", "list", "--records", records, "--where", "model=vit*").out.splitlines()
    assert len(lines) == 2
    assert lines[0].split()[:3] == ["record", "created", "machine"]
    chosen = lines[1].split()[0]
    shown = said(capsys, "records", "show", chosen, "--records", records).out
    assert "latency           0.01 [" in shown
    assert json.loads(said(capsys, "records", "show", chosen, "--records", records, "--json").out)["cell"]["model"] == "vit+linear"
    assert "no record has an id" in said(capsys, "records", "show", "zzz", "--records", records, code=4).err
    assert "about a figure" in said(capsys, "records", "list", "--records", records, "--where", "latency<1s", code=2).err


def test_validate_names_every_bad_file(records, capsys):
    assert "3 records can be read, 0 files can't" in said(capsys, "records", "validate", records).out
    (records / "half.json").write_text("{")
    (records / "later.json").write_text('{"schema": 9}')
    out = said(capsys, "records", "validate", "--records", records, code=4).out
    assert "half.json" in out
    assert "later.json: schema 9 is not known" in out
    assert len(json.loads(said(capsys, "records", "validate", records, "--json", code=4).out)["bad"]) == 2


@pytest.mark.parametrize("front", ["", "miou", "miou,miou"])
def test_a_front_is_of_two_quantities(records, capsys, front):
    assert "a front is of two quantities or more" in said(capsys, "table", "--records", records, "--front", front, code=2).err


def test_a_plot_of_nothing_is_an_error_and_files_that_can_not_be_read_are_named(records, tmp_path, capsys):
    (records / "half.json").write_text("{")
    found = said(capsys, "plot", "--records", records, "--where", "runtime=nope", "--out", tmp_path / "x", code=2)
    assert "no record of 3 in" in found.err
    assert "fits runtime=nope" in found.err
    assert "not read: " in found.err
    assert "half.json" in found.err
    assert not list(tmp_path.glob("x*"))


@pytest.mark.parametrize("verb", ["plot", "recommend"])
def test_an_empty_folder_is_said_to_be_empty(tmp_path, capsys, verb):
    found = said(capsys, verb, "--records", tmp_path, code=4)
    assert f"there is no record in {tmp_path}" in found.err
    empty = said(capsys, "table", "--records", tmp_path)
    assert empty.out == "No records.\n"
    assert "next:" not in empty.err


@pytest.mark.parametrize("form", ["json", "csv", "html"])
@pytest.mark.parametrize("price", ["inf", "1e300", "nan"])
@pytest.mark.parametrize("option", ["--price-per-hour", "--grid-intensity"])
def test_a_price_that_can_not_be_computed_with_is_refused(records, capsys, option, price, form):
    assert f"'{option}'" in said(capsys, "table", "--records", records, option, price, "--format", form, code=2).err


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        (("--max-latency", "50"), "'50' has no unit"),
        (("--max-latency=-5ms",), "--max-latency is a limit above 0, got '-5ms'"),
        (("--min-miou", "60"), "try: 0.6 or 60%"),
        (("--max-energy", "2"), "'2' has no unit"),
    ],
)
def test_a_limit_that_is_likely_misread_is_refused(records, capsys, limit, says):
    assert says in said(capsys, "recommend", "--records", records, *limit, code=2).err


def test_records_do_not_go_into_a_file(records, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    found = said(capsys, "records", "import", records, "--into", tmp_path / "file", code=4).err
    assert "cannot write" in found
    assert "--out" not in found


def test_import_and_export(records, tmp_path, capsys):
    pytest.importorskip("pandas")
    into = tmp_path / "all"
    assert "3 records added, 0 were there already, 0 refused" in said(capsys, "records", "import", records, "--into", into).out
    (records / "half.json").write_text("{")
    done = said(capsys, "records", "import", records, "--into", into, "--json", code=4)
    assert len(json.loads(done.out)["known"]) == 3
    assert "half.json" in done.err
    out = tmp_path / "r.csv"
    assert said(capsys, "records", "export", "--records", into, "--format", "csv", "--out", out).out.strip() == str(out)
    assert out.read_text().startswith("record,created,machine")


def test_the_schema_is_printed_and_written(tmp_path, capsys):
    text = said(capsys, "records", "schema").out
    said(capsys, "records", "schema", "--out", tmp_path / "s.json")
    assert (tmp_path / "s.json").read_text() == text
    assert json.loads(text)["title"] == "ProfileRecord"


def test_recommend_answers_with_an_exit_code(records, capsys):
    out = said(capsys, "recommend", "--records", records, "--max-latency", "50ms", "--max-memory", "1GB", "--min-miou", "60%").out
    assert "best choice: unet+unet (finetune) on onnxruntime cpu fp32" in out
    assert "runner-up:   vit+linear" in out
    none = said(capsys, "recommend", "--records", records, "--max-latency", "1ms", "--json", code=1).out
    (answer,) = json.loads(none)
    assert answer["best"] is None
    assert answer["misses"][0]["model"] == "vit+linear"
    assert "no record of 3" in said(capsys, "recommend", "--records", records, "--machine", "nowhere", code=2).err
    assert "'50kg'" in said(capsys, "recommend", "--records", records, "--max-latency", "50kg", code=2).err


def test_table_with_filters_columns_and_a_price(records, capsys):
    options = ("--where", "runtime=onnxruntime", "--columns", "model,cost_per_million_km2,record", "--price-per-hour", "3.6", "--format", "md")
    out = said(capsys, "table", "--records", records, *options).out
    assert "| model | cost per million km2 | record |" in out
    # 0.04 s for 1.6384 km2, 0.001 a second.
    assert "| unet+unet | 24.4 [" in out
    assert "torch_eager" not in out
    assert "none of 3 records fits latency<1us" in said(capsys, "table", "--records", records, "--where", "latency<1us").err
    three = said(capsys, "table", "--records", records, "--front", "miou,latency,artifact_size", "--format", "md").out
    assert "On front (mIoU, latency p50, size)" in three
    assert "do not compare" not in said(capsys, "table", "--records", records, "--group", "machine,data").err


def test_the_page_is_written(records, tmp_path, capsys):
    out = tmp_path / "explore.html"
    said(capsys, "table", "--records", records, "--format", "html", "--out", out)
    assert out.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("kind", ["memory", "classes", "batch"])
def test_other_pictures(kind, records, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = said(capsys, "plot", "--records", records, "--kind", kind, "--out", tmp_path / kind).out
    assert out.splitlines() == [str(tmp_path / f"{kind}.png"), str(tmp_path / f"{kind}.svg")]
    assert (tmp_path / f"{kind}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("verb", ["records list", "records show", "records validate", "records import", "records export", "records schema", "recommend"])
def test_every_verb_has_help_with_an_example(verb):
    from typer.testing import CliRunner

    from harness.cli.main import app

    text = CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "200"}).output
    assert "Example: harness" in text
    assert "--json" in text


def test_deciding_and_exploring_import_no_framework(records, tmp_path):
    code = (
        "import sys, io, contextlib\nfrom harness.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        f"    codes = [run(['table', '--records', {str(records)!r}, '--format', 'html', '--out', {str(tmp_path / 'x.html')!r}]),"
        f" run(['recommend', '--records', {str(records)!r}]), run(['records', 'list', '--records', {str(records)!r}])]\n"
        "print(codes, [name for name in ('numpy', 'pandas', 'matplotlib', 'torch', 'onnx', 'rasterio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[0, 0, 0] []"


def test_every_command_in_the_page_on_tables_parses():
    """Nothing is run; names of columns and conditions are checked too."""
    import typer

    from harness.cli.main import app
    from harness.cli.reading import front_from
    from harness.results.columns import chosen_columns
    from harness.results.filters import filter_from_text
    from harness.results.grouping import group_keys

    text = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    lines = [shlex.split(line[2:])[1:] for line in text.splitlines() if line.startswith("$ harness ")]
    assert len(lines) >= 15
    readers = {"--where": filter_from_text, "--columns": chosen_columns, "--front": front_from, "--sort": chosen_columns, "--group": group_keys}
    for words in lines:
        command = typer.main.get_command(app)
        context = command.make_context("harness", list(words), resilient_parsing=True)
        rest = list(words)
        while hasattr(command, "commands"):
            command = command.commands[rest.pop(0)]
        command.make_context(words[0], rest, parent=context, resilient_parsing=False)
        for option, value in itertools.pairwise(rest):
            readers.get(option, str)(value)


def test_history_lists_draws_and_names_the_change(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for number, p50 in enumerate((0.05, 0.0502, 0.0499, 0.0501, 0.05, 0.0601, 0.06, 0.0602)):
        code = {"commit": f"{number:08x}" + "0" * 32, "changed": False}
        write_record(tmp_path, record(measured=[latency(p50)], created=f"2026-11-0{number + 1}T10:00:00Z", detail={"code": code}))
    drawn = said(capsys, "history", "unet*", "--records", tmp_path, "--out", tmp_path / "latency").out
    assert "worse from here: 50.0 to 60.1 ms, +20.2 %" in drawn
    assert (tmp_path / "latency.png").is_file()
    assert "<svg" in (tmp_path / "latency.svg").read_text()
    facts = json.loads(said(capsys, "history", "model=unet+unet", "--records", tmp_path, "--json").out)
    assert facts["series"][0]["changes"][0]["commit"].startswith("00000005")
    home = fake_checkpoint(tmp_path / "home", DATASETS.load("synthetic"))
    assert json.loads(said(capsys, "history", home, "--records", tmp_path, "--json").out)["series"] == facts["series"]
    assert "did you mean 'latency'" in said(capsys, "history", "unet*", "--records", tmp_path, "--quantity", "latencies", code=2).err
    assert "none of 8 records" in said(capsys, "history", "vit*", "--records", tmp_path, code=4).err
    shown = said(capsys, "records", "show", facts["series"][0]["points"][5]["record"], "--records", tmp_path).out
    assert "00000005000" in shown
