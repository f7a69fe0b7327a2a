"""Every format of one table, against files in tests/golden.

To write the files again after a wanted change: HARNESS_WRITE_GOLDEN=1 pytest tests/unit/test_results_render.py, then read the diff.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from harness.core.record import Advice
from harness.results import render_csv, render_json, render_latex, render_markdown, render_terminal
from harness.results.layout import one_line
from harness.results.store import Problem, Records, write_record
from harness.results.table import Table, table_from_records
from harness.results.units import human, percent, three_digits, unit_for
from tests.builders import checkpoint, failed, latency, miou, outcomes, record, single

GOLDEN = Path(__file__).parents[1] / "golden"


def example() -> Table:
    """Two groups with a row of each kind: complete, noisy, failed, short of samples, with characters that formats trip over."""
    base = {"majority": 0.441, "threshold": 0.834}
    vit, unet = checkpoint("vit+upernet"), checkpoint("unet+unet", regime="scratch")
    noisy = Advice(kind="noisy", message="spread 14 %", advice="close other programs")
    records = (
        record(made=unet, model="unet+unet", measured=outcomes(p50=0.18, score=0.9, gflop=48, baselines=base)),
        record(made=unet, model="unet+unet", backend="onnxruntime", measured=outcomes(p50=0.11, score=0.9, gflop=48, baselines=base), warnings=[noisy]),
        record(made=vit, model="vit+upernet", measured=[latency(0.0321, count=40), miou(0.80, baselines=base), single("forward_flops", 7.2e9)]),
        record(made=vit, model="vit+upernet", backend="onnxruntime", measured=[failed("latency", "killed by signal 9 | 100 %\nof memory_used"), miou(0.6)]),
        record(made=vit, model="vit+upernet", machine="board & co_2", backend="onnxruntime", precision="int8", measured=outcomes(p50=2.5, score=0.85)),
    )
    return table_from_records(Records(records, (Problem(Path("r/half.json"), "r/half.json: Invalid JSON: EOF"),)))


def terminal_text(table: Table, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(render_terminal.render(table, width))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


FORMATS: dict[str, Callable[[Table], str]] = {
    "table.md": render_markdown.render,
    "table.csv": render_csv.render,
    "table.json": render_json.render,
    "table.tex": render_latex.render,
    "table_100.txt": lambda table: terminal_text(table, 100),
    "table_260.txt": lambda table: terminal_text(table, 260),
}


@pytest.mark.parametrize("name", FORMATS)
def test_golden(name: str) -> None:
    text = FORMATS[name](example())
    if os.environ.get("HARNESS_WRITE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_a_terminal_shows_names_as_they_are() -> None:
    drawn = table_from_records(Records((record(":star:[red]a[/red]+unet"),)))
    assert ":star:[red]a[/red]+unet" in terminal_text(drawn, 260)


@pytest.mark.parametrize("name", ["table.md", "table.tex", "table_100.txt", "table_260.txt"])
def test_what_a_record_says_steers_no_terminal(name: str) -> None:
    red = "\x1b[31mred\x07"
    measured = [failed("latency", f"died {red}"), miou(0.7, baselines={red: 0.3})]
    told = record(f"a{red}+unet", machine=red, measured=measured, warnings=(Advice(kind=red, message=red),))
    text = FORMATS[name](table_from_records(Records((told,), (Problem(Path("x"), f"x: {red}"),))))
    assert "red" in text
    assert all(character.isprintable() or character == "\n" for character in text)


def test_markdown_rows_have_the_columns_of_their_header() -> None:
    for section in render_markdown.render(example()).split("### ")[1:]:
        rows = [line.replace("\\|", "") for line in section.splitlines() if line.startswith("|")]
        assert {row.count("|") for row in rows} == {rows[0].count("|")}


def test_csv_and_json_hold_base_units_and_the_intervals() -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv.render(example()))))
    objects = json.loads(render_json.render(example()))
    assert len(rows) == len(objects) == 5
    for row, value in zip(rows, objects, strict=True):
        assert row["record"] == value["record"]
        for key, figure in value["figures"].items():
            assert (row[key] == "") == ("missing" in figure)
            if "value" in figure:
                assert float(row[key]) == figure["value"]
                assert row[f"{key}_low"] == ("" if figure["low"] is None else repr(figure["low"]))
    killed = next(value for value in objects if value["figures"]["latency"].get("missing") == "failed")
    assert killed["figures"]["latency"]["reason"] == "killed by signal 9 | 100 %\nof memory_used"
    assert {value["figures"]["macs"]["value"] * 2 for value in objects if "value" in value["figures"]["macs"]} == {48e9, 7.2e9, 18e9}


def test_latex_escapes_and_balances() -> None:
    text = render_latex.render(example())
    assert r"board \& co\_2" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    columns = {line.replace(r"\&", "").count("&") for line in body}
    assert len(columns) == 1
    assert r"100 \% of memory\_used" in text


@pytest.mark.parametrize("width", [60, 80, 100, 140, 260])
def test_a_terminal_never_cuts_a_number(width: int) -> None:
    text = terminal_text(example(), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert "[0.870, 0.930]" in text
    assert "0.900" in text
    assert ("Left out for width" in text) == (width < 260)


def test_rows_that_differ_in_precision_alone_stay_apart_in_a_narrow_terminal() -> None:
    made = checkpoint()
    records = (record(made=made, backend="onnxruntime"), record(made=made, backend="onnxruntime", precision="int8"))
    assert "int8" in terminal_text(table_from_records(Records(records)), 80)


def test_a_flag_is_seen_where_its_column_has_no_room() -> None:
    text = terminal_text(example(), 100)
    assert "flags, record; see them" in text
    lines = text.splitlines()
    row = next(index for index, line in enumerate(lines) if "unet+unet" in line and "onnxruntime" in line)
    assert "(1)" in lines[row] + lines[row + 1]
    assert "(1) noisy: spread 14 % (close other programs)" in lines


def test_no_records_is_said() -> None:
    assert render_markdown.render(Table(())) == "No records.\n"
    assert json.loads(render_json.render(Table(()))) == []
    assert render_csv.render(Table(())).count("\n") == 1
    assert "No records." in terminal_text(Table(()), 80)


def test_reading_and_rendering_load_nothing_heavy(tmp_path: Path) -> None:
    write_record(tmp_path, record())
    code = (
        "import sys, pathlib, harness.results\n"
        "from harness.results import store, table, render_markdown, render_csv, render_json, render_latex, plot, frames\n"
        "print(render_markdown.render(table.table_from_records(store.read_records(pathlib.Path(sys.argv[1])))))\n"
        "print([name for name in ('numpy', 'pandas', 'matplotlib', 'torch', 'onnx', 'rich') if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "unet+unet" in done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (1, "1.00"),
        (9.996, "10.0"),
        (99.96, "100"),
        (123.456, "123"),
        (1234.6, "1235"),
        (0.0123456, "0.0123"),
        (0.000012, "1.20e-05"),
        (-2.5, "-2.50"),
    ],
)
def test_three_significant_digits(value: float, said: str) -> None:
    assert three_digits(value) == said


@pytest.mark.parametrize(("value", "said"), [(1.0, "100"), (0.99987, "99.987"), (0.9999999, "99.999990"), (0.5, "50.0"), (0.0, "0.0"), (0.995, "99.50")])
def test_agreement_is_never_rounded_up_to_all(value: float, said: str) -> None:
    assert percent(value) == said


@pytest.mark.parametrize(
    ("dimension", "values", "label"),
    [("time", [0.02, 5], "ms"), ("time", [2, 5], "s"), ("time", [2e-5], "us"), ("bytes", [5e8, 3e9], "MB"), ("bytes", [2e9], "GB"), ("time", [], "ms")],
)
def test_a_column_has_one_unit(dimension: str, values: list[float], label: str) -> None:
    assert unit_for(dimension, values).label == label  # type: ignore[arg-type]


def test_a_drop_of_nothing_has_no_sign() -> None:
    unit = unit_for("change", [])
    assert human(-0.00001, "change", unit) == "0.0000"
    assert human(-0.0123, "change", unit) == "-0.0123"


def test_long_reasons_are_cut_in_tables_only() -> None:
    assert len(one_line("word " * 200)) == 300


@pytest.mark.parametrize("name", ["=HYPERLINK(1)+x", "+1+x", "-2+x", "@SUM(A1)+x", "\tcmd+x"])
def test_no_cell_of_csv_is_a_formula(name):
    found = table_from_records(Records((record(name, measured=[latency(0.05), failed("miou", "=1+1")], machine="-lab"),)))
    header, line = csv.reader(io.StringIO(render_csv.render(found)))
    cells = dict(zip(header, line, strict=True))
    assert cells["model"] == f"'{name}"
    assert cells["machine"] == "'-lab"
    assert not any(cell.startswith(("=", "+", "@", "\t")) for cell in line)
    assert cells["rank"] == "-"  # a lone dash is no formula
    assert float(cells["latency"]) == 0.05
