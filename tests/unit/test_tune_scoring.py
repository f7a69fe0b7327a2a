"""How long a candidate may take to be judged, with real processes of the fake runtime."""

import pytest

from harness.core.artifact import read_subject
from harness.core.errors import ExportError
from harness.core.registry import DATASETS
from harness.profiling.isolate import PARENT
from harness.profiling.plan import CellPlan
from harness.tuning import exporting, scoring, search
from harness.tuning.assessing import Setting
from harness.tuning.candidates import Candidate
from harness.tuning.choice import Limits
from harness.tuning.journal import Journal
from tests.builders import fake_checkpoint


@pytest.fixture
def start(tmp_path) -> Candidate:
    spec = DATASETS.load("synthetic")
    spec.prepare(tmp_path / "data", lambda done, total, what: None)
    fake_checkpoint(tmp_path / "model", spec)
    return Candidate(CellPlan(tmp_path / "model", read_subject(tmp_path / "model"), "fake"), 1, 1)


def scored(start: Candidate, left: float) -> scoring.Scoring:
    home = start.plan.folder.parent
    setting = Setting(dataset="synthetic", root=home / "data", split="val", tiles=2, device="cpu", work=home / "work")
    judge = scoring.Scoring(setting, Limits(drop=0.005), start, Journal(home / "journal.jsonl", {}), lambda: left)
    assert judge.assess(start).seconds > 0
    return judge


def hung(start: Candidate) -> Candidate:
    return Candidate(start.plan, 1, 1, {"fail": "hang"})


def test_what_the_budget_ends_is_not_judged_and_has_its_turn_again(start, monkeypatch):
    monkeypatch.setattr(scoring, "LEAST_SECONDS", 3.0)
    judge, candidate = scored(start, left=0.01), hung(start)
    assert judge._within_budget(candidate) is None
    assert judge.journal.get(f"alone {candidate.key}") is None


def test_what_is_much_slower_than_the_start_fails_for_good(start, monkeypatch):
    monkeypatch.setattr(scoring, "LEAST_SECONDS", 3.0)
    monkeypatch.setattr(scoring, "TOO_SLOW", 0.01)
    judge, candidate = scored(start, left=1000.0), hung(start)
    found = judge._within_budget(candidate)
    assert "over 0.01 times what the network on PyTorch takes" in found.failed
    assert judge.journal.get(f"alone {candidate.key}")["failed"] == found.failed


def test_an_export_that_the_budget_ends_is_no_failure(start, monkeypatch):
    monkeypatch.setattr(scoring, "LEAST_SECONDS", 0.01)
    judge = scored(start, left=0.01)
    cell = scoring.Wanted("onnxruntime", "onnx", "fp32", start.plan.folder / "artifacts" / "onnx-fp32", "onnx")
    assert list(judge.passing([cell], ((1,), (1,)), lambda what: None)) == []
    assert ([one.label for one in judge.unreached], judge.lost) == ([cell.label], [])


def test_what_the_budget_ended_is_begun_again_only_with_more_of_it(start, monkeypatch):
    """Otherwise each run of the same command would spend its budget on it, and nothing else would ever be raced."""
    monkeypatch.setattr(scoring, "LEAST_SECONDS", 0.5)
    judge, candidate = scored(start, left=1.0), hung(start)
    begun = []
    monkeypatch.setattr(judge._jury, "assess", lambda one, timeout: begun.append(timeout) or scoring.Assessed(failed=f"timed out after {timeout} s"))
    for left in (1.0, 1.4, 1.6):
        judge.left = lambda left=left: left
        assert judge._within_budget(candidate) is None
    assert begun == [1.0, 1.6]
    monkeypatch.setattr(scoring, "CELL_SECONDS", 2.0)
    judge.left = lambda: 1000.0
    assert "timed out" in judge._within_budget(candidate).failed
    assert begun == [1.0, 1.6, 2.0]
    judge.journal._entries.pop(f"alone {candidate.key}")
    judge.left = lambda: 1.6
    cell = scoring.Wanted("fake", "checkpoint", "fp32", start.plan.folder)
    monkeypatch.setattr(scoring, "ways_of", lambda plan, threads, batches: [candidate])
    assert list(judge.passing([cell], ((1,), (1,)), lambda what: None)) == []
    assert [one.why for one in judge.unreached] == ["not finished within 2 s: a larger --budget"]


def test_racing_has_its_share_of_the_budget_whatever_was_begun(start):
    at = iter([100.0, 100.0 + 390.0])
    setting, journal = scored(start, left=0.0).setting, Journal(start.plan.folder / "other.jsonl", {})
    asked = search.Search(setting, Limits(drop=0.005), start, journal, 1000.0, print, clock=lambda: next(at))
    assert asked.scoring.left() == pytest.approx(1000 - 390 - 400)


def test_an_export_whose_search_was_killed_while_it_was_starting_ends_too(tmp_path, monkeypatch):
    """It asks the kernel to be ended with its parent only after its imports; a parent that is gone by then is seen by its number."""
    real = exporting.subprocess.Popen
    monkeypatch.setattr(exporting.subprocess, "Popen", lambda *given, env, **named: real(*given, env={**env, PARENT: str(int(env[PARENT]) + 1)}, **named))
    order = exporting.Order(checkpoint=tmp_path, to="onnx", precision="fp32", out=tmp_path / "out")
    with pytest.raises(ExportError, match="which asked for this, is gone"):
        exporting.export_apart(order, tmp_path / "work", timeout=60)
