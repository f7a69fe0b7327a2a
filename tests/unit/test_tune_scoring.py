"""How long a candidate may take to be judged, with real processes of the fake runtime."""

import pytest

from harness.core.artifact import read_subject
from harness.core.registry import DATASETS
from harness.profiling.plan import CellPlan
from harness.tuning import scoring
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
    assert (judge.unreached, judge.lost) == ([cell.label], [])
