"""`harness tune`: processes, journal, limits and profile on the fake runtime; accuracy on a real graph. No timing is asserted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli.main import run
from harness.core.artifact import ARTIFACT_FILE, read_artifact, read_subject
from harness.core.deployment import Sampling, read_profile
from harness.core.files import sha256_of_file, write_value
from harness.core.registry import DATASETS
from harness.profiling.plan import plan_cells
from harness.tuning import assessing, candidates, scoring, search, stage
from tests.builders import fake_checkpoint

SHORT = Sampling(warmup_runs=2, warmup_seconds=0, min_runs=6, min_seconds=0, max_seconds=0.1, target_halfwidth=0.5, timeout_seconds=120)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Synthetic tiles and a checkpoint that the fake runtime takes."""
    folder = tmp_path_factory.mktemp("home")
    spec = DATASETS.load("synthetic")
    spec.prepare(folder / "data" / f"synthetic-{spec.version}", lambda done, total, what: None)
    fake_checkpoint(folder / "model", spec)
    return folder


@pytest.fixture
def fake(monkeypatch):
    """The fake runtime is what all are compared with, and every step is short."""
    monkeypatch.setattr(stage, "REFERENCE", "fake")
    monkeypatch.setattr(assessing, "QUICK", SHORT)


def command(home: Path, out: Path, *more: str) -> list[str]:
    usual = ["--runtimes", "fake", "--threads", "1", "--goal", "throughput", "--batches", "1,2", "--tiles", "4", "--root", str(home / "data")]
    return ["tune", str(home / "model"), "--out", str(out), *usual, *more]


def test_the_winner_is_a_profile_that_profile_takes_and_what_crashes_is_a_row(home, fake, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(candidates, "VARIANTS", {("fake", "cpu"): ({"fail": "SIGKILL"}, {"fail": "error"})})
    out = tmp_path / "best.yaml"
    assert run(command(home, out, "--max-memory", "1GB", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["winner"]["status"] == "winner"
    assert found["winner"]["drop"] == 0.0
    reasons = {row["label"].rpartition("fail ")[2]: row["why"] for row in found["rows"] if row["status"] == "failed"}
    assert "killed by the system" in reasons["SIGKILL"]
    assert "was told to fail" in reasons["error"]
    profile = read_profile(str(out))
    assert (profile.name, profile.runtime.backend, profile.runtime.threads) == ("best", "fake", 1)
    assert profile.input.batch == found["winner"]["batch"]
    assert [(limit.quantity, limit.max) for limit in profile.budget] == [("miou_drop", 0.005), ("peak_host_memory", 1e9)]
    assert (profile.split, profile.max_tiles) == ("val", 4)
    assert [plan.backend for plan in plan_cells(home / "model", profile, None)[0]] == ["fake"]


def test_a_second_run_measures_nothing_again_and_other_settings_start_anew(home, fake, tmp_path, capsys):
    out, journal = tmp_path / "best.yaml", tmp_path / "best.tune.jsonl"
    assert run(command(home, out)) == 0
    lines = journal.read_text().splitlines()
    written = out.read_text()
    capsys.readouterr()
    assert run(command(home, out)) == 0
    assert f"{len(lines) - 1} steps were known" in capsys.readouterr().err
    assert journal.read_text().splitlines() == lines
    assert out.read_text() == written
    assert run([*command(home, out), "--tiles", "3", "--budget", "0.001s"]) == 124
    assert "measured anew: its --tiles was 4, now 3" in capsys.readouterr().err
    assert not set(lines[1:]) & set(journal.read_text().splitlines())


def test_a_run_that_was_killed_goes_on_where_it_stopped(home, fake, tmp_path):
    out, journal = tmp_path / "best.yaml", tmp_path / "best.tune.jsonl"
    code = "from harness.tuning import assessing, stage\nstage.REFERENCE = 'fake'\n"
    code += f"assessing.QUICK = assessing.Sampling(**{SHORT.model_dump()!r})\n"
    code += f"from harness.cli.main import main\nmain({command(home, out)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None and not (journal.is_file() and len(journal.read_text().splitlines()) >= 3):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = [line for line in journal.read_text().split("\n")[:-1] if line]
    assert len(kept) >= 2
    assert not out.exists()
    assert run(command(home, out)) == 0
    assert journal.read_text().splitlines()[: len(kept)] == kept
    assert read_profile(str(out)).runtime.backend == "fake"


def test_where_nothing_fits_the_nearest_misses_are_said_and_no_profile_is_written(home, fake, tmp_path, capsys):
    out = tmp_path / "best.yaml"
    assert run(command(home, out, "--max-memory", "1MB")) == 1
    said = capsys.readouterr()
    assert "no candidate is within the limits; nearest misses:" in said.out
    assert "MB, at most 1 allowed" in said.out
    assert "no profile was written" in said.err
    assert not out.exists()
    out.write_text("name: older\n")
    assert run(command(home, out, "--max-memory", "1MB")) == 1
    assert f"{out} is the answer of an earlier search, not of this one" in capsys.readouterr().err
    assert out.read_text() == "name: older\n"


def test_of_an_artifact_only_the_artifact_can_win(home, fake, tmp_path, capsys):
    network = read_subject(home / "model")
    folder = tmp_path / "model" / "artifacts" / "onnx-fp32"
    shutil.copytree(home / "model", tmp_path / "model")
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"not read")
    write_value(folder / ARTIFACT_FILE, network.model_copy(update={"format": "onnx", "file": "model.onnx", "sha256": sha256_of_file(folder / "model.onnx")}))
    usual = command(home, tmp_path / "best.yaml", "--json", "--batches", "1", "--goal", "latency", "--tiles", "2")
    assert run([usual[0], str(folder), *usual[2:]]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert f"next: harness profile {folder} --profile {tmp_path / 'best.yaml'} --root {home / 'data'}\n" in said.err
    assert found["winner"]["label"] == "fake onnx fp32, 1 thread, batch 1"
    assert [row["why"] for row in found["rows"] if row["label"].startswith("fake checkpoint")] == [search.NOT_ASKED]


def test_a_candidate_whose_memory_could_not_be_measured_does_not_win_within_a_limit(home, fake, tmp_path, capsys, monkeypatch):
    real = search.run_heat
    monkeypatch.setattr(search, "run_heat", lambda *given, **named: real(*given, **named).model_copy(update={"memory": {}}))
    assert run(command(home, tmp_path / "best.yaml", "--max-memory", "1GB")) == 1
    assert "its memory could not be measured, and at most 1000 MB are allowed" in capsys.readouterr().out


def test_what_a_budget_leaves_out_is_said(home, fake, tmp_path, capsys):
    out = tmp_path / "best.yaml"
    assert run(command(home, out, "--budget", "0.001s", "--json")) == 124
    said = json.loads(capsys.readouterr().out)
    assert {row["status"] for row in said["rows"]} == {"unreached"}
    assert said["unfinished"]


def test_a_winner_beside_candidates_that_had_no_turn_is_the_best_so_far(home, fake, tmp_path, capsys, monkeypatch):
    real, out = search.Search.choose, tmp_path / "best.yaml"

    def choose(self):
        self.scoring.unreached.append(scoring.Lost("fake checkpoint int8-static", scoring.UNREACHED))
        return real(self)

    monkeypatch.setattr(search.Search, "choose", choose)
    assert run(command(home, out)) == 124
    said = capsys.readouterr()
    assert "best so far: fake" in said.out
    assert "the budget was over before all candidates were raced" in said.out
    assert f"{out} is that of the best so far" in said.err
    assert read_profile(str(out)).runtime.backend == "fake"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--goal", "speed"), "--goal"),
        (("--goal", "latency"), "latency is that of one batch size"),
        (("--threads", "4096"), "4096 threads asked for"),
        (("--batches", "1,x"), "--batches is whole numbers"),
        (("--budget", "0m"), "a budget is more than 0"),
        (("--budget", "90"), "a budget needs a unit"),
        (("--runtimes", "fakes"), "unknown backend"),
        (("--split", "all"), "--split"),
        (("--max-memory", "lots"), "is not an amount"),
        (("--max-memory", ""), "is not an amount"),
        (("--max-latency", "50"), "'50' has no unit"),
        (("--max-latency=-5ms",), "--max-latency is a limit above 0"),
        (("--out", "best"), "a profile is a .yaml file"),
    ],
)
def test_what_can_not_be_searched_is_refused_before_anything_is_written(home, fake, tmp_path, capsys, more, said):
    assert run([*command(home, tmp_path / "best.yaml"), *more]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_place_for_a_profile(home, fake, tmp_path, capsys):
    (tmp_path / "best.yaml").mkdir()
    assert run(command(home, tmp_path / "best.yaml")) == 2
    assert "best.yaml is a folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["best.yaml"]


def test_without_tiles_nothing_is_searched(home, fake, tmp_path, capsys):
    assert run([*command(home, tmp_path / "best.yaml"), "--root", str(tmp_path / "empty")]) == 4
    assert "harness data prepare synthetic" in capsys.readouterr().err


def test_what_loses_too_much_is_never_timed(home, tmp_path, monkeypatch, capsys):
    """A real graph beside the same graph with its logits turned around, which decides the opposite of the network."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from harness.stages import export
    from tests.small_checkpoint import small_checkpoint

    subject = small_checkpoint(tmp_path / "model", size=64)
    monkeypatch.setattr(candidates, "_to_make", lambda *given: iter(()))
    monkeypatch.setattr(candidates, "VARIANTS", {})
    monkeypatch.setattr(scoring, "milder", lambda cell, limit: [])
    monkeypatch.setattr(search, "LAST_RACES", 0)
    monkeypatch.setattr(assessing, "QUICK", SHORT)
    good, artifact, _ = export(subject, to="onnx", root=home / "data", val_tiles=1)
    bad = good.with_name("onnx-int8-dynamic")
    bad.mkdir()
    graph = onnx.load(str(good / artifact.file))
    graph.graph.node.append(onnx.helper.make_node("Neg", [graph.graph.output[0].name], ["turned"]))
    graph.graph.output[0].name = "turned"
    onnx.save(graph, str(bad / artifact.file))
    write_value(bad / ARTIFACT_FILE, read_artifact(good).model_copy(update={"precision": "int8-dynamic", "sha256": sha256_of_file(bad / artifact.file)}))
    common = ["--runtimes", "onnxruntime", "--threads", "1", "--tiles", "4", "--root", str(home / "data"), "--json"]
    assert run(["tune", str(subject), "--max-miou-drop", "0.001", "--out", str(tmp_path / "best.yaml"), *common]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["label"]: row for row in found["rows"]}
    turned = rows["onnxruntime onnx int8-dynamic"]
    assert turned["status"] == "lost"
    assert turned["why"].startswith("loses ")
    assert (turned["speedup"], turned["drop"] > 0.001) == (None, True)
    assert found["winner"]["label"] == "onnxruntime onnx fp32, 1 thread, batch 1"
    assert rows["torch_eager checkpoint fp32, 1 thread, batch 1"]["why"] == search.NOT_ASKED
    assert (
        run(["profile", str(subject), "--profile", str(tmp_path / "best.yaml"), "--root", str(home / "data"), "--out", str(tmp_path), "--probes", "size"]) == 0
    )
