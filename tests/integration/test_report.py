"""`harness report`: the answer, what every format says, and that the page is safe and whole."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from harness.cli.main import run
from harness.core.artifact import CHECKPOINT_FILE, WEIGHTS_FILE, Checkpoint, DataUse
from harness.core.deployment import Limit
from harness.core.files import sha256_of_file, write_value
from harness.core.measurement import Missing
from harness.core.record import Advice
from harness.results.readiness import unfit
from harness.results.report_svg import bars, histogram
from harness.results.store import write_record
from tests.builders import checkpoint, failed, latency, miou, outcomes, profile, record, single

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
EVIL = "<script>alert(1)</script>\"'&"


def yaml_profile(folder: Path, **fields) -> Path:
    content = {"schema": 1, "name": "board", "purpose": "tests", **fields}
    path = folder / "board.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def budget(limit: float) -> list[dict]:
    return [{"quantity": "latency", "statistic": "p50", "max": limit}, {"quantity": "miou", "min": 0.6}]


def report(path: Path, folder: Path, *more: str) -> int:
    return run(["report", str(path), "--profile", str(folder / "board.yaml"), *more])


class Page(HTMLParser):
    """What a page is made of: tags with attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "img", "rect", "line"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.parametrize(("limit", "answer", "code"), [(0.1, "READY", 0), (0.01, "NOT READY", 1), (0.05, "UNKNOWN", 0)])
def test_the_answer_follows_from_the_interval_and_sets_the_exit_code(tmp_path, capsys, limit, answer, code):
    yaml_profile(tmp_path, budget=budget(limit))
    path = write_record(tmp_path / "records", record())
    assert report(path, tmp_path, "--json") == code
    said = json.loads(capsys.readouterr().out)
    assert said["answer"] == answer
    assert [verdict["limit"]["quantity"] for verdict in said["cells"][0]["verdicts"]] == ["latency", "miou"]
    assert report(path, tmp_path, "--json", "--strict") == (0 if answer == "READY" else 1)


def test_what_was_not_measured_is_unknown_with_the_way_to_measure_it(tmp_path, capsys):
    yaml_profile(tmp_path, budget=[{"quantity": "energy", "max": 2.0}, {"quantity": "latency", "statistic": "p99", "max": 1.0}])
    path = write_record(tmp_path / "records", record(measured=(latency(0.01), Missing(quantity="energy", why="skipped", reason="no counter"))))
    assert report(path, tmp_path, "--format", "md") == 0
    text = capsys.readouterr().out
    assert text.startswith("# UNKNOWN")
    assert "| energy | skipped | no counter | ask for it" in text
    assert "p99 needs 368 samples, has 101" in text
    assert "needs 72 samples" not in text


def test_a_subject_stands_for_its_records_the_newest_of_each_cell_and_the_ready_one_leads(tmp_path, capsys):
    home, made = trained(tmp_path)
    yaml_profile(tmp_path, budget=budget(0.03))
    for backend, created, p50 in (("torch_eager", "2026-11-21T10:00:00+00:00", 0.05), ("onnxruntime", "2026-11-20T10:00:00+00:00", 0.09)):
        write_record(tmp_path / "records", record(made=made, backend=backend, created=created, measured=outcomes(p50=p50)))
    write_record(tmp_path / "records", record(made=made, backend="onnxruntime", created="2026-11-21T10:00:00+00:00", measured=outcomes(p50=0.01)))
    write_record(tmp_path / "records", record("other+model", backend="onnxruntime", measured=outcomes(p50=0.001)))
    assert report(home, tmp_path, "--records", str(tmp_path / "records"), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["answer"] == "READY"
    assert [(cell["title"].split()[0], cell["answer"]) for cell in said["cells"]] == [("onnxruntime", "READY"), ("torch_eager", "NOT READY")]


def trained(folder: Path) -> tuple[Path, Checkpoint]:
    home = folder / "model"
    home.mkdir()
    (home / WEIGHTS_FILE).write_bytes(b"0")
    made = checkpoint(weights_sha256=sha256_of_file(home / WEIGHTS_FILE))
    write_value(home / CHECKPOINT_FILE, made)
    return home, made


def answered(capsys, home: Path, folder: Path, *more: str) -> dict:
    report(home, folder, "--records", str(folder / "records"), "--json", *more)
    return json.loads(capsys.readouterr().out)


def test_a_fast_machine_does_not_answer_for_a_slow_one(tmp_path, capsys):
    home, made = trained(tmp_path)
    yaml_profile(tmp_path, budget=budget(0.03))
    for machine, p50 in (("board", 0.5), ("server", 0.001)):
        write_record(tmp_path / "records", record(made=made, machine=machine, measured=outcomes(p50=p50)))
    assert report(home, tmp_path, "--records", str(tmp_path / "records")) == 2
    assert "records of several machines answer: board, server" in capsys.readouterr().err
    assert answered(capsys, home, tmp_path, "--machine", "board")["answer"] == "NOT READY"
    assert "--machine server" in answered(capsys, home, tmp_path, "--machine", "server")["commands"][-1]


def test_a_newer_run_replaces_one_under_an_earlier_text_of_the_profile(tmp_path, capsys):
    home, made = trained(tmp_path)
    yaml_profile(tmp_path, budget=budget(0.03))
    for day, purpose, p50 in (("20", "earlier", 0.001), ("21", "later", 0.5)):
        fields = {"created": f"2026-11-{day}T10:00:00+00:00", "profile": profile("board", purpose=purpose)}
        write_record(tmp_path / "records", record(made=made, measured=outcomes(p50=p50), **fields))
    said = answered(capsys, home, tmp_path)
    assert (said["answer"], len(said["cells"])) == ("NOT READY", 1)
    assert any("moved between runs" in line for line in said["cells"][0]["warnings"])


def test_a_score_on_other_data_answers_only_where_it_is_asked_for(tmp_path, capsys):
    home, made = trained(tmp_path)
    yaml_profile(tmp_path, budget=budget(0.1))
    for day, name, score in (("20", "bluemarble_ice", 0.3), ("21", "synthetic", 0.99)):
        fields = {"created": f"2026-11-{day}T10:00:00+00:00", "data": DataUse(name=name, version="1.0")}
        write_record(tmp_path / "records", record(made=made, measured=outcomes(score=score), **fields))
    said = answered(capsys, home, tmp_path)
    assert [(cell["answer"], cell["unfit"]) for cell in said["cells"]] == [
        ("NOT READY", ""),
        ("UNKNOWN", "scored on synthetic, not on bluemarble_ice, which it was trained on; --data chooses another"),
    ]
    assert answered(capsys, home, tmp_path, "--data", "synthetic")["answer"] == "READY"


def test_a_model_that_loses_to_a_predictor_without_training_says_so(tmp_path, capsys):
    home, made = trained(tmp_path)
    yaml_profile(tmp_path, budget=budget(0.1))
    write_record(tmp_path / "records", record(made=made, measured=(latency(0.01), miou(0.7, baselines={"threshold": 0.9}))))
    said = answered(capsys, home, tmp_path)
    assert said["answer"] == "READY"
    assert said["cells"][0]["warnings"] == ["under baseline: mIoU is not above threshold (0.900); its speed means nothing"]


def test_the_command_for_a_record_asks_for_no_profile_by_name(tmp_path, capsys):
    path = write_record(tmp_path / "records", record(profile=profile("winner")))
    assert run(["report", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["commands"][-1] == f"harness report {path} --out report.html"


def test_a_model_without_records_is_unknown_and_told_what_to_type(tmp_path, capsys):
    (tmp_path / "model.onnx").write_bytes(b"0")
    yaml_profile(tmp_path, budget=budget(0.1))
    assert report(tmp_path / "model.onnx", tmp_path, "--records", str(tmp_path / "none"), "--format", "md") == 0
    text = capsys.readouterr().out
    assert "UNKNOWN" in text
    assert f"$ harness profile {tmp_path / 'model.onnx'} --profile" in text
    assert report(tmp_path / "nothing", tmp_path) == 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"runtime": {"device": "cuda"}}, "on the device cpu, the profile asks for cuda"),
        ({"runtime": {"precision": "fp16"}}, "in the precision fp32"),
        ({"input": {"batch": 8}}, "with the batch 1"),
        ({"input": {"tile": 512}}, "with the tile 128"),
        ({"max_tiles": 4}, "with max_tiles None"),
        ({"sampling": {"min_runs": 50}}, ""),
        ({"purpose": "another"}, ""),
    ],
)
def test_a_record_measured_otherwise_does_not_judge_the_profile(fields, said):
    why = unfit(record(), profile("board", **fields))
    assert said in why
    assert bool(why) is bool(said)


def test_the_page_is_whole_safe_and_needs_nothing_from_elsewhere(tmp_path):
    yaml_profile(tmp_path, budget=budget(0.1), purpose=EVIL)
    score = miou(0.9)
    score = score.model_copy(update={"detail": {**score.detail, "per_class": {EVIL: 0.5, "ice": None}, "per_region": {"north": 0.8}}})
    tiles = [{"tile": EVIL, "agreement": 0.5, "picture": "../../worst.png"}, {"tile": "b", "agreement": 0.9, "picture": "worst.png"}]
    parity = single("argmax_agreement", 0.99).model_copy(update={"detail": {"worst_tiles": tiles}})
    warned = (Advice(kind="noisy", message=EVIL, advice="quiet it"),)
    one = record(
        measured=(latency(0.05), score, parity, single("peak_host_memory", 5e8), failed("energy", EVIL)), command=f"harness profile {EVIL}", warnings=warned
    )
    path = write_record(tmp_path / "records", one)
    folder = path.with_suffix(".tiles")
    folder.mkdir()
    (folder / "worst.png").write_bytes(PNG)
    assert report(path, tmp_path, "--out", str(tmp_path / "r.html")) == 0
    text = (tmp_path / "r.html").read_text()
    page = Page(text)
    assert page.open == []
    assert not {"script", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        for name in ("src", "href"):
            assert re.match(r"data:|#", attributes.get(name) or "#"), (tag, attributes)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in text
    assert "url(" not in style
    assert sum(tag == "img" for tag, _ in page.tags) == 2
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg")
    words = " ".join(page.words)
    for said in (
        "READY",
        EVIL,
        "north: 0.800",
        "in neither truth nor prediction",
        "running, host: 500 MB",
        "How to make it again",
        one.id,
        "needs 368 samples",
    ):
        assert said in words, said


@pytest.mark.parametrize("samples", [[1.0, 1.0], [0.01] * 50 + [5.0], [0.0, 1.0]])
def test_a_histogram_counts_every_sample(samples):
    drawn = histogram(samples, [("p50", samples[0]), ("far", 1e9)], factor=1e-3, unit="ms")
    assert f"Histogram of {len(samples)} latencies" in drawn
    heights = [float(value) for value in re.findall(r'class="fill"[^>]* height="([\d.]+)"', drawn)]
    assert max(heights) == pytest.approx(122)
    assert ">far<" not in drawn
    assert histogram([1.0], [], factor=1.0, unit="s") == ""


def test_bars_share_one_scale_from_zero():
    widths = [float(value) for value in re.findall(r'class="fill"[^>]* width="([\d.]+)"', bars([("a", 1.0, "1"), ("b", 4.0, "4")], "x"))]
    assert widths[1] == pytest.approx(4 * widths[0])


def test_a_report_loads_no_framework(tmp_path):
    from tests.arch.test_layers import HEAVY, modules_after

    path = write_record(tmp_path / "records", record())
    assert not modules_after("report", str(path), "--out", str(tmp_path / "r.html")) & (HEAVY | {"numpy"})


def test_json_goes_to_standard_output_also_where_a_page_is_written(tmp_path, capsys):
    yaml_profile(tmp_path, budget=budget(0.1))
    path = write_record(tmp_path / "records", record())
    assert report(path, tmp_path, "--json", "--out", str(tmp_path / "page.html")) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == "READY"
    assert (tmp_path / "page.html").read_text().startswith("<!")


def test_the_answer_steers_no_terminal(tmp_path, capsys):
    path = write_record(tmp_path / "records", record(machine="\x1b[31mred", profile=profile(budget=(Limit(quantity="latency", max=1.0),))))
    run(["report", str(path), "--out", str(tmp_path / "report.html")])
    said = capsys.readouterr().err
    assert "red" in said
    assert "\x1b" not in said
    run(["report", str(path), "--format", "md"])
    said = capsys.readouterr()
    assert "red" in said.out
    assert "\x1b" not in said.out + said.err
