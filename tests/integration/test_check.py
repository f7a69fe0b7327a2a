"""`harness check` on the fake runtime: the timing comes from a made-up busy machine, everything else is real."""

import contextlib
import dataclasses
import getpass
import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import yaml

from harness import gate
from harness.backends.fake import Fake
from harness.cli.check import _accept
from harness.cli.main import run
from harness.core.artifact import read_subject
from harness.core.deployment import DeploymentProfile
from harness.core.errors import ConfigError
from harness.core.registry import DATASETS
from harness.gate import plan_like
from harness.profiling import paired
from harness.profiling.job import Job
from harness.profiling.plan import CellPlan
from harness.profiling.rounds import time_rounds
from harness.profiling.run import write_examples
from harness.results.check_result import Checked
from harness.stages import profile_cells
from tests.builders import fake_checkpoint, record
from tests.machine_model import BusyMachine

pytest_plugins = ["pytester"]

PROFILE = {
    "schema": 1,
    "name": "gate",
    "purpose": "tests",
    "runtime": {"backend": "fake", "threads": 1},
    "sampling": {"isolate": False, "warmup_runs": 1, "warmup_seconds": 0, "min_runs": 8, "min_seconds": 0, "max_seconds": 0.02},
    "probes": ["latency", "memory", "size", "accuracy"],
    "max_tiles": 4,
    "regression": {"latency": "5%", "peak_host_memory": "5%", "artifact_size": "1%", "miou": 0.005, "argmax_agreement": 0.001},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Synthetic tiles and the checkpoints `old`, `same` and `large`, whose weights are twice the bytes."""
    folder = tmp_path_factory.mktemp("home")
    spec = DATASETS.load("synthetic")
    spec.prepare(folder / "data" / f"synthetic-{spec.version}", lambda done, total, what: None)
    for name, weights in (("old", b"0" * 1000), ("same", b"0" * 1000), ("large", b"0" * 2000)):
        fake_checkpoint(folder / name, spec, weights)
    (folder / "gate.yaml").write_text(yaml.safe_dump(PROFILE, sort_keys=False))
    return folder


@pytest.fixture
def machine(monkeypatch):
    """A busy machine in place of the processes that time and weigh; set `slower` and `larger` for the candidate."""
    here = BusyMachine(7)
    here.slower, here.larger = 1.0, 1.0

    def latency_rounds(candidate, pair):
        arms = [here.arm(0.005), here.arm(0.005), here.arm(0.005 * here.slower)]
        return time_rounds(arms, here.clock, rounds=pair.rounds, calls=5, max_seconds=1e9)

    def memory_pairs(candidate, baseline, *, pairs, work):
        return [{"peak_host_memory": (1e8 + index * 1e5, here.larger * (1e8 + 1e5 * (pairs - index)))} for index in range(pairs)]

    monkeypatch.setattr(paired, "latency_rounds", latency_rounds)
    monkeypatch.setattr(paired, "memory_pairs", memory_pairs)
    return here


def check(home: Path, candidate: str, *more: str) -> int:
    return run(["check", str(home / candidate), "--profile", str(home / "gate.yaml"), "--root", str(home / "data"), *more])


def against(home: Path, candidate: str, *more: str) -> int:
    return check(home, candidate, "--against", str(home / "old"), *more)


def found(capsys) -> tuple[str, dict[str, dict]]:
    said = json.loads(capsys.readouterr().out)[0]
    return said["outcome"], {change["quantity"]: change for change in said["changes"]}


def test_the_same_model_passes_and_every_quantity_of_the_profile_is_compared(home, machine, capsys):
    assert against(home, "same", "--json") == 0
    outcome, changes = found(capsys)
    assert outcome == "PASS"
    assert list(changes) == list(PROFILE["regression"])
    assert changes["latency"]["low"] < 0 < changes["latency"]["high"] < 0.05
    assert 0 < changes["latency"]["detectable"] < 0.05
    assert changes["latency"]["repeats"] >= 60
    assert (changes["miou"]["before"], changes["miou"]["worse"]) == (changes["miou"]["after"], 0)
    assert changes["argmax_agreement"]["after"] == 1


def test_a_slower_model_fails_after_it_was_measured_twice(home, machine, capsys):
    machine.slower = 1.15
    assert against(home, "same", "--json") == 1
    outcome, changes = found(capsys)
    assert outcome == "FAIL"
    assert changes["latency"]["worse"] == pytest.approx(0.15, abs=0.03)
    assert "measured twice" in changes["latency"]["why"]
    assert {change["outcome"] for name, change in changes.items() if name != "latency"} == {"PASS"}


def test_a_model_that_needs_more_memory_or_disk_fails_by_that_alone(home, machine, capsys):
    machine.larger = 1.10
    assert against(home, "large", "--json") == 1
    _, changes = found(capsys)
    assert {name for name, change in changes.items() if change["outcome"] == "FAIL"} == {"peak_host_memory", "artifact_size"}


@pytest.fixture
def numbers_fail(monkeypatch):
    """The model in the folder `same` gives no numbers."""
    real = Fake.open

    @contextlib.contextmanager
    def opened(self, folder, artifact, **given):
        with real(self, folder, artifact, **given) as session:
            if folder.name == "same":
                usual = session.outputs
                session.outputs = lambda: [np.full_like(one, np.nan) for one in usual()]
            yield session

    monkeypatch.setattr(Fake, "open", opened)


def test_a_model_that_fails_on_the_tiles_fails_also_by_the_usual_tolerances(home, machine, numbers_fail, tmp_path, capsys):
    usual = tmp_path / "usual.yaml"
    usual.write_text(yaml.safe_dump({name: value for name, value in PROFILE.items() if name != "regression"}))
    assert against(home, "same", "--json", "--profile", str(usual), "--markdown", str(tmp_path / "s.md")) == 1
    outcome, changes = found(capsys)
    assert outcome == "FAIL"
    assert "the candidate failed where the baseline did not" in changes["miou"]["why"]
    assert {name for name, change in changes.items() if change["outcome"] == "FAIL"} == {"miou", "argmax_agreement"}
    assert "failed where the baseline did not" in (tmp_path / "s.md").read_text()


def test_a_model_that_fails_on_the_tiles_of_a_record_fails(home, kept, numbers_fail, capsys):
    assert check(home, "same", "--against-record", str(kept[1]), "--profile", str(kept[0]), "--json") == 1
    assert found(capsys)[1]["miou"]["outcome"] == "FAIL"


def test_what_can_not_be_told_is_inconclusive_and_fails_only_when_strict(home, machine, capsys):
    machine.spread, machine.wander, machine.memory = 1.5, 3.0, 0.5
    assert against(home, "same", "--json") == 0
    outcome, changes = found(capsys)
    assert outcome == changes["latency"]["outcome"] == "INCONCLUSIVE"
    assert "refused: the tolerance is below" in changes["latency"]["why"]
    assert against(home, "same", "--strict") == 1


def test_junit_and_markdown_say_the_same(home, machine, tmp_path, capsys):
    machine.slower = 1.3
    assert against(home, "same", "--junit", str(tmp_path / "j.xml"), "--markdown", str(tmp_path / "s.md")) == 1
    suite = ET.parse(tmp_path / "j.xml").getroot()[0]
    assert suite.attrib["failures"] == "1"
    assert [case.attrib["name"] for case in suite] == list(PROFILE["regression"])
    assert suite[0].find("failure").attrib["type"] == "FAIL"
    text = (tmp_path / "s.md").read_text()
    assert "harness check: FAIL" in text
    assert text.count("\n| ") == 1 + len(PROFILE["regression"])
    assert "FAIL in" in capsys.readouterr().out


def test_a_baseline_is_accepted_with_a_reason_then_compared_with_and_moved(home, machine, tmp_path, capsys):
    folder = tmp_path / "baselines"
    assert against(home, "old", "--accept", "--baselines", str(folder)) == 2
    assert check(home, "old", "--against-record", "accepted", "--baselines", str(folder)) == 4
    said = capsys.readouterr().err
    assert "no baseline was accepted yet" in said
    assert "--profile gate --accept" in said
    assert against(home, "old", "--accept", "--reason", "first", "--baselines", str(folder)) == 0
    capsys.readouterr()
    check(home, "same", "--against-record", "accepted", "--baselines", str(folder), "--json")
    _, changes = found(capsys)
    assert {changes[name]["outcome"] for name in ("artifact_size", "miou")} == {"PASS"}
    machine.slower = 2.0
    assert against(home, "large", "--accept", "--reason", "larger head", "--baselines", str(folder)) == 0
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["why"] for line in lines] == ["first", "larger head"]
    assert lines[0]["from"] is None
    assert lines[1]["from"] == lines[0]["to"]
    assert lines[1]["outcome"] == "FAIL"
    assert {"when", "who", "baseline"} <= lines[1].keys()


def test_a_record_of_another_machine_or_profile_is_not_compared(home, machine, tmp_path, capsys):
    folder = tmp_path / "baselines"
    assert against(home, "old", "--accept", "--reason", "first", "--baselines", str(folder)) == 0
    path = next(folder.glob("*/*.json"))
    content = json.loads(path.read_text())
    capsys.readouterr()
    foreign = {**content["environment"], "fingerprint": "other"}
    for field, value, said in (("environment", foreign, "another machine"), ("profile_sha256", "other", "another profile")):
        other = tmp_path / "other.json"
        other.write_text(json.dumps({**content, field: value}))
        assert check(home, "same", "--against-record", str(other), "--json") == 0
        outcome, changes = found(capsys)
        assert outcome == "INCONCLUSIVE"
        assert all("not comparable: the record" in change["why"] and said in change["why"] for change in changes.values())


@pytest.fixture(scope="module")
def exact(home) -> tuple[Path, Path]:
    """A profile that asks for what has no noise in it, and the record of `old` under it."""
    settings, folder = home / "exact.yaml", home / "exact-baselines"
    tolerances = {"artifact_size": "1%", "miou": 0.005, "pixel_accuracy": 0.005}
    settings.write_text(yaml.safe_dump({**PROFILE, "name": "exact", "probes": ["size", "accuracy"], "regression": tolerances}))
    told = ["--profile", str(settings), "--root", str(home / "data"), "--baselines", str(folder), "--accept", "--reason", "first"]
    assert run(["check", str(home / "old"), "--against", str(home / "old"), *told]) == 0
    return settings, next(folder.glob("*/*.json"))


@pytest.fixture
def kept(exact, tmp_path, monkeypatch) -> tuple[Path, Path, list[int]]:
    """The profile, a copy of its record to change, and how often something was profiled since."""
    settings, path = exact[0], tmp_path / "record.json"
    shutil.copy(exact[1], path)
    runs: list[int] = []

    def counted(*given, **named):
        runs.append(1)
        return profile_cells(*given, **named)

    monkeypatch.setattr(gate, "profile_cells", counted)
    return settings, path, runs


def against_changed(home: Path, kept: tuple[Path, Path, list[int]], capsys, change, *more: str) -> tuple[int, str, dict[str, dict]]:
    """Check `same` against the kept record after `change` was made to its content."""
    settings, path, _ = kept
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    capsys.readouterr()
    code = run(["check", str(home / "same"), "--against-record", str(path), "--profile", str(settings), "--root", str(home / "data"), "--json", *more])
    return code, *found(capsys)


def score(content: dict, name: str) -> dict:
    return next(one for one in content["outcomes"] if one["quantity"] == name)


def test_scores_on_the_same_tiles_are_compared_exactly_and_not_measured_again(home, kept, capsys):
    code, outcome, changes = against_changed(home, kept, capsys, lambda content: None, "--strict")
    assert (code, outcome, len(kept[2])) == (0, "PASS", 2)
    assert changes["miou"]["worse"] == changes["miou"]["low"] == changes["miou"]["high"] == changes["miou"]["detectable"] == 0
    assert "exact on these 4 tiles" in changes["miou"]["why"]
    assert "tiles" not in changes["artifact_size"]["why"]


@pytest.mark.parametrize(("lost", "outcome"), [(0.004, "PASS"), (0.006, "FAIL"), (0.258, "FAIL"), (-0.1, "PASS")])
def test_an_miou_that_fell_on_the_same_tiles_by_more_than_allowed_fails(home, kept, capsys, lost, outcome):
    def raised(content: dict) -> None:
        miou = score(content, "miou")
        miou["samples"] = [miou["samples"][0] + lost]

    code, _, changes = against_changed(home, kept, capsys, raised)
    assert (changes["miou"]["outcome"], code) == (outcome, int(outcome == "FAIL"))
    assert changes["miou"]["worse"] == pytest.approx(lost)
    assert len(kept[2]) == 2


def test_scores_of_another_number_of_tiles_do_not_compare(home, kept, capsys):
    _, outcome, changes = against_changed(home, kept, capsys, lambda content: [one["detail"].update(tiles=3) for one in content["outcomes"] if "bounds" in one])
    assert outcome == changes["miou"]["outcome"] == "INCONCLUSIVE"
    assert changes["miou"]["why"] == "not comparable: the record scored 3 tiles, this run 4"
    assert changes["artifact_size"]["outcome"] == "PASS"


@pytest.mark.parametrize(
    ("place", "field", "value", "said"),
    [
        ("cell", "precision", "int8-static", "the record ran with precision int8-static, the candidate would with precision fp32"),
        ("cell", "format", "onnx", "format onnx"),
        ("cell", "batch", 4, "batch 4"),
        ("cell", "tile", 128, "tile 128"),
        ("data", "name", "mars_craters", "the record is of mars_craters"),
        ("data", "version", "0", "the record is of synthetic 0"),
        ("data", "tile", 32, "in tiles of 32 px"),
        ("detail", "bundle", {"sha256": "0123456789"}, "from bundle 01234567"),
    ],
)
def test_a_record_of_other_tiles_or_of_another_way_to_run_is_not_compared(home, kept, capsys, place, field, value, said):
    code, outcome, changes = against_changed(home, kept, capsys, lambda content: content[place].update({field: value}))
    assert (code, outcome, kept[2]) == (0, "INCONCLUSIVE", [])
    assert all(change["why"].startswith("not comparable: the record") and said in change["why"] for change in changes.values())


def test_the_candidate_is_the_artifact_that_ran_as_the_record_did(home):
    def plan(form: str, precision: str, folder: str = "x") -> CellPlan:
        return CellPlan(Path(folder), read_subject(home / "old").model_copy(update={"format": form, "precision": precision}), "onnxruntime")

    plans = [plan("onnx", "fp32"), plan("onnx", "int8-static")]
    assert plan_like(plans, record(backend="onnxruntime", precision="int8-static")) is plans[1]
    assert plan_like(plans, record(backend="onnxruntime", precision="fp16")) is plans[0]
    with pytest.raises(ConfigError, match="2 artifacts") as caught:
        plan_like([*plans, plan("onnx", "fp32", "other")], record(backend="onnxruntime"))
    assert caught.value.hint == "harness check other"


def exported(home: Path, **options) -> CellPlan:
    artifact = read_subject(home / "old").model_copy(update={"format": "onnx", "precision": "int8-static", "options": options})
    return CellPlan(home / "old" / "artifacts" / (options.get("activations", "onnx")), artifact, "onnxruntime")


def test_exports_of_one_precision_are_compared_with_those_of_the_same_settings(home, monkeypatch):
    usual, uint8, network = exported(home), exported(home, activations="uint8"), CellPlan(home / "old", read_subject(home / "old"), "fake")
    before = [usual, network, uint8]
    monkeypatch.setattr(gate, "plans_of", lambda subject, profile, *given: ([uint8, usual], profile) if subject == "new" else (before, profile))
    monkeypatch.setattr(gate, "check_against_artifact", lambda new, old, profile, **given: Checked(new.label, old.label, "", "", "", "", ()))
    found = gate.check_side_by_side("new", "old", None)
    assert [(one.subject, one.baseline) for one in found] == [(uint8.label, uint8.label), (usual.label, usual.label)]
    assert found[0].notes == (f"not compared: {network.label} is in {network.folder} alone",)
    before.append(dataclasses.replace(usual, folder=Path("copy")))
    with pytest.raises(ConfigError, match="the baseline has 2 of") as caught:
        gate.check_side_by_side("new", "old", None)
    assert caught.value.hint == f"--against {usual.folder}"


def test_models_of_other_input_sizes_are_not_compared(home, machine, tmp_path, capsys):
    shutil.copytree(home / "same", tmp_path / "small")
    facts = json.loads((tmp_path / "small" / "checkpoint.json").read_text())
    (tmp_path / "small" / "checkpoint.json").write_text(json.dumps({**facts, "input_size": 32}))
    assert check(home, str(tmp_path / "small"), "--against", str(home / "old")) == 2
    assert "takes tiles of 32 px, the baseline in" in capsys.readouterr().err


def test_of_a_sweep_only_the_batch_of_the_record_is_compared(home, machine, tmp_path, capsys):
    settings = tmp_path / "sweep.yaml"
    settings.write_text(
        yaml.safe_dump({**PROFILE, "name": "sweep", "input": {"batches": [1, 2]}, "regression": {"miou": 0.005}, "probes": ["latency", "accuracy"]})
    )
    told = ["--profile", str(settings), "--root", str(home / "data")]
    assert run(["profile", str(home / "old"), "--backends", "fake", "--out", str(tmp_path / "records"), *told]) == 0
    path = next(path for path in (tmp_path / "records").glob("*/*/*.json") if json.loads(path.read_text())["cell"]["batch"] == 2)
    capsys.readouterr()
    accepted = ["--accept", "--reason", "batch 2", "--baselines", str(tmp_path / "baselines")]
    assert run(["check", str(home / "same"), "--against-record", str(path), "--json", *told, *accepted]) == 0
    outcome, _ = found(capsys)
    assert outcome == "PASS"
    assert json.loads(next((tmp_path / "baselines").glob("*/*.json")).read_text())["cell"]["batch"] == 2


def test_a_profile_of_another_tile_than_the_models_is_refused_as_profile_refuses_it(home, machine, tmp_path, capsys):
    settings = tmp_path / "tile.yaml"
    settings.write_text(yaml.safe_dump({**PROFILE, "name": "tile", "input": {"tile": 32}}))
    assert against(home, "same", "--profile", str(settings)) == 2
    assert "asks for tiles of 32 px" in capsys.readouterr().err


def test_side_by_side_a_sweep_is_compared_at_a_batch_of_its_own(home, machine, tmp_path, capsys):
    settings = tmp_path / "sweep.yaml"
    settings.write_text(yaml.safe_dump({**PROFILE, "name": "sweep", "input": {"batches": [2, 4]}, "regression": {"miou": 0.005}, "probes": ["accuracy"]}))
    accepted = ["--accept", "--reason", "first", "--baselines", str(tmp_path / "baselines")]
    assert against(home, "same", "--profile", str(settings), "--json", *accepted) == 0
    assert json.loads(capsys.readouterr().out)[0]["notes"] == ["batch 2 was compared, 4 not"]
    kept = json.loads(next((tmp_path / "baselines").glob("*/*.json")).read_text())
    assert (kept["cell"]["batch"], kept["profile"]["input"]["batch"]) == (2, 1)


def test_who_has_no_name_is_named_by_number(home, machine, tmp_path, monkeypatch):
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        monkeypatch.delenv(name, raising=False)
    assert against(home, "old", "--accept", "--reason", "first", "--baselines", str(tmp_path)) == 0
    assert json.loads((tmp_path / "log.jsonl").read_text())["who"] == "uid 1234"


def test_nothing_is_accepted_where_a_cell_was_not_measured_or_two_are_one_baseline(tmp_path):
    checked = Checked("one", "old", "side by side", "ci", "lab-1", "f0", (), record=record())
    with pytest.raises(ConfigError, match="two: nothing was measured"):
        _accept([checked, dataclasses.replace(checked, subject="two", record=None)], tmp_path, "me", "why")
    with pytest.raises(ConfigError, match="2 of the cells would be the one baseline"):
        _accept([checked, checked], tmp_path, "me", "why")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more", [(), ("--against", "x", "--against-record", "y")])
def test_exactly_one_baseline_is_named(home, more, capsys):
    assert check(home, "same", *more) == 2
    assert "--against" in capsys.readouterr().err


def test_the_shared_process_times_all_three_and_memory_comes_from_processes_of_its_own(home, tmp_path):
    """Real processes on the fake runtime; only the shape of the answer is asserted."""
    settings = DeploymentProfile(**PROFILE)
    folder = home / "data" / f"synthetic-{DATASETS.load('synthetic').version}"
    jobs = []
    for name in ("old", "large"):
        job = Job(folder=home / name, backend="fake", device="cpu", threads=1, profile=settings, dataset="synthetic", data_root=folder, work=tmp_path / name)
        job.work.mkdir()
        write_examples(job, read_subject(job.folder))
        jobs.append(job)
    pair = paired.Pair(baseline=jobs[0], rounds=5, visit_seconds=0.001, max_seconds=10, candidate_first=True)
    rounds = paired.latency_rounds(jobs[1], pair)
    assert [len(one) for one in rounds] == [3] * 5
    assert min(min(one) for one in rounds) > 0
    pairs = paired.memory_pairs(jobs[1], jobs[0], pairs=1, work=tmp_path / "memory")
    assert 15e6 < pairs[0]["peak_host_memory"][0] < 500e6


@pytest.mark.parametrize(("slower", "more", "passed", "failed", "skipped"), [(1.0, (), 1, 0, 0), (1.3, (), 0, 1, 0)])
def test_the_pytest_plug_in_fails_a_slower_model(home, machine, pytester, slower, more, passed, failed, skipped):
    machine.slower = slower
    pytester.makepyfile(
        f"def test_speed(harness_check):\n"
        f"    checks = harness_check({str(home / 'same')!r}, against={str(home / 'old')!r}, profile={str(home / 'gate.yaml')!r}, root={str(home / 'data')!r})\n"
        f"    assert checks[0].changes\n"
    )
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", *more)
    done.assert_outcomes(passed=passed, failed=failed, skipped=skipped)
    if failed:
        assert "measured twice" in done.stdout.str()


def test_what_is_inconclusive_skips_the_test_or_fails_it_when_strict(home, machine, pytester):
    machine.spread, machine.wander, machine.memory = 1.5, 3.0, 0.5
    pytester.makepyfile(
        f"def test_speed(harness_check):\n"
        f"    harness_check({str(home / 'same')!r}, against={str(home / 'old')!r}, profile={str(home / 'gate.yaml')!r}, root={str(home / 'data')!r})\n"
    )
    pytester.runpytest_inprocess().assert_outcomes(skipped=1)
    pytester.runpytest_inprocess("--harness-strict").assert_outcomes(failed=1)
