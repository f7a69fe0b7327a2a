"""The page to explore: complete, self-contained, and safe whatever a record says; its front is the table's."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from harness.core.record import Advice, ProfileRecord
from harness.results.columns import column
from harness.results.figure import Figure
from harness.results.pareto import Better, Coordinate, front
from harness.results.render_html import render
from harness.results.store import Problem, Records
from harness.results.table import Table, View, table_from_records
from harness.results.units import human, unit_for
from tests.builders import checkpoint, environment, failed, miou, outcomes, profile, record

HOSTILE = "</script><script>alert(1)</script><!-- {{data}} & \u2028 \"'"
SCRIPTS = ("math.js", "chart.js", "page.js")


def page(*records: ProfileRecord, **view: object) -> str:
    return render(table(*records, **view))


def table(*records: ProfileRecord, **view: object) -> Table:
    return table_from_records(Records(records, (Problem(Path("x"), HOSTILE),)), view=View(**view))  # type: ignore[arg-type]


class Reader(HTMLParser):
    """Elements with their attributes, and the text of each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.code: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] in ("script", "style") and data.strip():
            self.code.append((self.elements[-1][1].get("id") or self.elements[-1][0], data))


def content(text: str) -> dict[str, object]:
    """The page's data, as its script reads them."""
    found: dict[str, object] = json.loads(next(data for name, data in Reader(text).code if name == "content"))
    return found


def test_hostile_records_stay_text() -> None:
    advice = Advice(kind=HOSTILE, message=HOSTILE, advice=HOSTILE)
    bad = record(
        HOSTILE,
        environment=environment(HOSTILE, cpu=HOSTILE),
        measured=[failed("latency", HOSTILE), miou(0.9, baselines={HOSTILE: 0.5})],
        warnings=[advice],
        backend=HOSTILE,
    )
    text = page(bad)
    reader, plain = Reader(text), Reader(page(record()))
    assert [tag for tag, _ in reader.elements if tag != "p"] == [tag for tag, _ in plain.elements if tag != "p"]
    assert "alert(1)</script>" not in text
    rows = content(text)["rows"]
    assert isinstance(rows, list)
    assert (rows[0]["model"], rows[0]["machine"], rows[0]["runtime"]) == (HOSTILE, HOSTILE, HOSTILE)


def test_scripts_put_data_in_as_text_only() -> None:
    for name in SCRIPTS:
        code = (files("harness.results") / "explorer" / name).read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", code), name
        assert "</" not in code


def test_the_page_needs_nothing_from_elsewhere() -> None:
    reader = Reader(page(record()))
    for _, attributes in reader.elements:
        for key in ("src", "href", "action"):
            assert (attributes.get(key) or "#").startswith(("#", "data:"))
    code = "".join(data for _, data in reader.code)
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|url\(|@import", code)
    assert set(re.findall(r"https?://[^\s\"'<]+", code)) == {"http://www.w3.org/2000/svg"}  # a name, nothing is loaded


def test_the_policy_allows_the_scripts_and_the_style_of_the_page_by_hash() -> None:
    reader = Reader(page(record()))
    policy = next(attributes["content"] for tag, attributes in reader.elements if tag == "meta" and "http-equiv" in attributes)
    assert policy is not None
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(data.encode()).digest()).decode()}'" for name, data in reader.code if name != "content"}
    assert set(re.findall(r"'sha256-[^']+'", policy)) == hashes
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_every_row_of_every_group_with_its_figures() -> None:
    rows = (record(), record(machine="lab-2", measured=[failed("latency", "killed"), miou(0.5)]))
    found = content(page(*rows))
    shown = found["rows"]
    assert isinstance(shown, list)
    assert {row["id"] for row in shown} == {row.id for row in rows}
    first, second = (next(row for row in shown if row["machine"] == name) for name in ("lab-1", "lab-2"))
    assert first["figures"]["miou"] == [0.9, 0.87, 0.93]
    assert first["figures"]["parameters"] == [31e6]
    assert second["figures"]["latency"] == "failed: killed"
    keys = [item["key"] for item in found["columns"]]  # type: ignore[attr-defined]
    assert "energy" not in keys


def test_two_computers_or_profiles_of_one_name_are_told_apart() -> None:
    other = profile(purpose="other sampling")
    rows = content(page(record(), record(environment=environment(cpu="Other CPU")), record(profile=other, created="2026-11-22T10:00:00+00:00")))["rows"]
    assert isinstance(rows, list)
    assert {row["machine"] for row in rows} == {"lab-1 (Example CPU 7, 2 cores)", "lab-1 (Other CPU, 2 cores)"}
    assert len({row["profile"] for row in rows}) == 2


def test_chosen_columns_are_those_that_the_page_shows_first() -> None:
    assert content(page(record(), columns=("artifact_size", "model")))["usual"] == ["artifact_size"]


def test_the_page_opens_with_the_sort_the_front_and_the_columns_of_the_command() -> None:
    usual = content(page(record()))
    assert (usual["sort"], usual["axes"], usual["facts"]) == ("miou", ["miou", "latency"], ["model", "regime", "runtime", "precision", "device", "batch"])
    view = View(columns=("rank", "runtime", "latency", "threads", "miou", "energy"))
    found = content(render(table_from_records(Records((record(),)), sort="latency", axes=("artifact_size", "peak_host_memory", "miou"), view=view)))
    assert (found["sort"], found["axes"]) == ("latency", ["artifact_size", "peak_host_memory"])
    assert (found["facts"], found["usual"]) == (["model", "runtime", "threads"], ["latency", "miou"])


def test_an_axis_without_a_figure_gives_way_to_one_that_has_some() -> None:
    assert content(page(record(measured=[failed("latency", "killed"), miou(0.5)])))["axes"] == ["miou", "miou"]


def test_no_records_is_a_page_too() -> None:
    assert content(render(Table(())))["rows"] == []


def test_every_control_has_a_label() -> None:
    text = page(record())
    body = text[text.index("<body") : text.index("<script")]
    for control in re.findall(r"<(?:select|input)[^>]*>", body):
        before = body[: body.index(control)]
        assert before.count("<label") == before.count("</label") + 1, control


def node(code: str) -> str:
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not here; the page's arithmetic is checked where it is")
    math_js = (files("harness.results") / "explorer" / "math.js").read_text(encoding="utf-8")
    return subprocess.run([program, "-"], input=math_js + code, capture_output=True, text=True, check=True).stdout


def test_the_page_finds_the_same_front_as_the_table() -> None:
    chosen = random.Random(4)
    cases: list[tuple[list[list[list[float | None]]], tuple[Better, Better], list[bool]]] = []
    for _ in range(60):
        better: tuple[Better, Better] = (chosen.choice(("lower", "higher")), chosen.choice(("lower", "higher")))
        points = [[entry(chosen), entry(chosen)] for _ in range(chosen.randint(1, 25))]
        expected = front([tuple(coordinate(item) for item in point) for point in points], better)
        cases.append((points, better, expected))
    given = json.dumps([(points, better) for points, better, _ in cases])
    found = json.loads(node(f"console.log(JSON.stringify({given}.map(([points, better]) => front(points, better))))"))
    assert found == [expected for _, _, expected in cases]
    assert {True, False} <= {best for verdicts in found for best in verdicts}


def entry(chosen: random.Random) -> list[float | None]:
    value = float(chosen.randint(1, 9))
    kind = chosen.choice(("exact", "unknown", "repeats", "bounded", "bounded"))
    bounded = (value - chosen.randint(0, 3), value + chosen.randint(0, 3))
    return [value, *{"exact": (value, value), "unknown": (None, None), "repeats": (None, None, 0.5), "bounded": bounded}[kind]]


def coordinate(item: list[float | None]) -> Coordinate:
    value, low, high, *repeats = item
    assert value is not None
    return Coordinate(value, *Figure(value, low, high, repeats=repeats[0] if repeats else None).reach)


@pytest.mark.parametrize("key", ["latency", "miou", "argmax_agreement", "miou_drop", "parameters", "artifact_size"])
def test_the_page_writes_figures_as_the_table_does(key: str) -> None:
    dimension = column(key).dimension
    values = [0.0123456, 0.99987, 0.5, 1.0, 9.996, 123.4567, 0.00002, 1234.6, 31e6]
    unit = unit_for(dimension, [0.01])
    given = json.dumps({"dimension": dimension, "factor": unit.factor})
    said = json.loads(node(f"console.log(JSON.stringify({values}.map((value) => human(value, {given}))))"))
    assert said == [human(value, dimension, unit) for value in values]


def test_ticks_lie_within_the_axis() -> None:
    axes = [[0.02, 2.0, True, 8], [61.0, 2100.0, True, 20], [0.5, 0.95, False, 10], [119.0, 131.0, True, 8], [1e-5, 1e7, True, 6]]
    found = json.loads(node(f"console.log(JSON.stringify({json.dumps(axes)}.map((axis) => ticks(...axis))))"))
    for (low, high, _, most), values in zip(axes, found, strict=True):
        assert 2 <= len(values) <= most + 1
        assert all(low <= value <= high for value in values)
        assert values == sorted(values)


def test_an_exact_figure_is_one_number() -> None:
    rows = content(page(record(measured=outcomes())))["rows"]
    assert isinstance(rows, list)
    made = table(record(measured=outcomes())).groups[0].rows[0].entries["forward_flops"]
    assert isinstance(made, Figure)
    assert rows[0]["figures"]["forward_flops"] == [made.value]


def test_what_tells_equal_rows_apart_is_a_column_and_what_does_not_is_none() -> None:
    rows = [record(made=checkpoint(seed=seed)) for seed in (0, 1)]
    assert "seed" in content(page(*rows))["facts"]  # type: ignore[operator]
    assert "seed" not in content(page(rows[0], record("vit+upernet", made=checkpoint("vit+upernet", seed=1))))["facts"]  # type: ignore[operator]
