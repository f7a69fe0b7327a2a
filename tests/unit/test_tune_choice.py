"""Limits, ties and the rule for the simplest, on made-up entries."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.artifact import Artifact
from harness.profiling.plan import CellPlan
from harness.tuning.assessing import Assessed
from harness.tuning.candidates import Candidate
from harness.tuning.choice import Entry, Limits, against, doubts_of, leader_of, misses_of, simplest, tied, unmeasured
from harness.tuning.result import rows_of
from harness.tuning.search import Search
from tests.builders import checkpoint

START = "start"


def entry(name: str, *, memory: float | None = 100e6, precision: str = "fp32", threads: int = 1, seconds: float | None = 0.01, **options) -> Entry:
    made = Artifact(
        format="onnx", precision=precision, file="model.onnx", sha256=name.ljust(12, "0"), size=1, inputs=(), outputs=(), checkpoint=checkpoint(),
        checkpoint_sha256="",
    )  # fmt: skip
    plan = CellPlan(Path("artifacts/onnx"), made, "onnxruntime")
    return Entry(Candidate(plan, threads, 1, options), Assessed(drop=0.0), memory=memory, seconds=seconds)


def rounds_of(costs: dict[str, list[float]]) -> list[dict[str, float]]:
    """One round per place of the lists, the start at 1."""
    return [{START: 1.0, **{name: values[place] for name, values in costs.items()}} for place in range(len(next(iter(costs.values()))))]


NOISE = [0.97, 1.03, 0.98, 1.02, 0.99, 1.01, 1.0, 1.0]


def test_each_limit_is_judged_by_the_value_and_says_how_far_off_it_is():
    limits = Limits(drop=0.005, memory=1e9, latency=0.05)
    assert misses_of(limits, drop=0.005, memory=1e9, latency=0.05) == []
    found = misses_of(limits, drop=0.01, memory=1.5e9, latency=0.2)
    assert [miss.ratio for miss in found] == pytest.approx([2.0, 1.5, 4.0], rel=1e-3)
    assert found[0].words == "loses 1.00 mIoU points, at most 0.5 allowed"
    assert misses_of(limits, drop=None, memory=None, latency=None) == []
    assert misses_of(Limits(drop=0.0), drop=0.002, memory=None, latency=None)[0].ratio == pytest.approx(2.0, rel=1e-3)


def test_what_nobody_measured_does_not_meet_a_limit():
    assert "memory could not be measured, and at most 1000 MB" in unmeasured(Limits(drop=0.0, memory=1e9), memory=None, latency=0.1)
    assert "latency could not be measured, and at most 50 ms" in unmeasured(Limits(drop=0.0, latency=0.05), memory=1e9, latency=None)
    assert unmeasured(Limits(drop=0.0, memory=1e9), memory=2e9, latency=None) == unmeasured(Limits(drop=0.0), memory=None, latency=None) == ""


def test_an_interval_beyond_a_limit_is_a_doubt():
    limits = Limits(drop=0.005, latency=0.05)
    seen = Assessed(drop=0.001, drop_bounds=(-0.002, 0.012), latency=0.04, latency_bounds=(0.03, 0.06))
    assert [words.partition(" reaches ")[2][:11] for words in doubts_of(limits, seen)] == ["1.20 points", "60 ms: a qu"]
    assert doubts_of(limits, seen.model_copy(update={"drop_bounds": None, "latency_bounds": None})) == []


def test_the_leader_has_the_least_cost_of_those_that_can_win():
    fast, slow, late = entry("fast"), entry("slow"), entry("late", seconds=None)
    rounds = rounds_of({fast.key: [0.5] * 8, slow.key: [0.7] * 8})
    assert leader_of([slow, fast, late], rounds, START) is fast
    fast.failed = "crashed"
    assert leader_of([slow, fast, late], rounds, START) is slow
    slow.misses = misses_of(Limits(drop=0.0), drop=0.1, memory=None, latency=None)
    assert leader_of([slow, fast, late], rounds, START) is None


def test_the_leader_is_who_wins_in_shared_rounds_where_the_start_was_noisy():
    one, other = entry("one"), entry("other")
    shared = rounds_of({one.key: [0.50] * 8, other.key: [0.45] * 8})
    lucky = [{START: 2.0, one.key: 0.5}] * 9
    assert leader_of([one, other], [*shared, *lucky], START) is other


def test_noise_ties_and_a_sure_difference_does_not():
    one, other, slow = entry("one"), entry("other"), entry("slow")
    rounds = rounds_of({one.key: [0.5] * 8, other.key: [0.505 * factor for factor in NOISE], slow.key: [0.55 * factor for factor in NOISE]})
    assert tied([one, other, slow], rounds, one, START) == [one, other]


def test_candidates_that_never_met_are_compared_through_the_start_with_a_wider_interval():
    one, other = entry("one"), entry("other")
    apart = rounds_of({one.key: [0.5 * factor for factor in NOISE]}) + rounds_of({other.key: [0.6 * factor for factor in NOISE]})
    seen = against(apart, other.key, one.key, START)
    assert (seen.middle, seen.low, seen.high) == pytest.approx((1.2, 1.2 * 0.97 / 1.03, 1.2 * 1.03 / 0.97))
    together = rounds_of({one.key: [0.5 * factor for factor in NOISE], other.key: [0.6 * factor for factor in NOISE]})
    assert against(together, other.key, one.key, START).low == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("better", "worse", "rule"),
    [
        ({"memory": 90e6, "threads": 2}, {"memory": 100e6}, "less memory"),
        ({"memory": 103e6}, {"memory": 100e6, "threads": 2}, "fewer threads"),
        ({"memory": 103e6}, {"memory": 100e6, "precision": "int8-static"}, "the higher precision"),
        ({"precision": "bf16"}, {"precision": "int8-dynamic"}, "the higher precision"),
        ({}, {"arena": False}, "fewer changed options"),
    ],
)
def test_of_those_that_tie_the_simplest_wins_by_the_stated_rule(better, worse, rule):
    good, bad = entry("good", **better), entry("bad", **worse)
    rounds = rounds_of({good.key: [0.51] * 8, bad.key: [0.50] * 8})
    winner, why = simplest([bad, good], rounds, bad, START)
    assert winner is good
    assert why == {bad.key: rule}


def test_memory_that_nobody_measured_is_no_less_memory():
    known, large, unknown = entry("known", memory=100e6), entry("large", memory=200e6), entry("unknown", memory=None, threads=2)
    rounds = rounds_of({one.key: [0.5] * 8 for one in (known, large, unknown)})
    winner, why = simplest([unknown, large, known], rounds, known, START)
    assert (winner, why) == (known, {large.key: "less memory", unknown.key: "fewer threads"})


def test_what_is_equally_simple_is_decided_by_the_measured_cost():
    one, other = entry("one"), entry("two")
    winner, why = simplest([one, other], rounds_of({one.key: [0.51] * 8, other.key: [0.50] * 8}), other, START)
    assert (winner, why) == (other, {one.key: "a little less time, within noise"})


def test_a_tie_for_want_of_rounds_is_not_won_by_being_simple():
    fast, small = entry("fast"), entry("small", memory=50e6)
    rounds = rounds_of({fast.key: [0.5] * 8, small.key: [0.5 * factor for factor in (0.9, 0.95, 1.1, 1.1, 1.2, 1.2, 1.3, 1.5)]})
    equal = tied([fast, small], rounds, fast, START)
    assert equal == [fast, small]
    winner, why = simplest(equal, rounds, fast, START)
    assert (winner, why) == (fast, {small.key: "the better median"})


def search_of(entries: list[Entry], *, spent: float) -> Search:
    """A search that has raced the entries, of which only the last meets the limits when it is confirmed."""
    at = iter([0.0])
    found = Search(None, Limits(drop=0.005), entries[0].candidate, None, 100.0, lambda *told: None, clock=lambda: next(at, spent))  # type: ignore[arg-type]
    found.entries, found.by_key = entries, {one.key: one for one in entries}
    found.rounds = [{one.key: 0.5 + place / 10 for place, one in enumerate(entries)}] * 8
    found.scoring = SimpleNamespace(assess=lambda one: Assessed(drop=0.0 if one is entries[-1].candidate else 0.1), lost=[], unreached=[])  # type: ignore[assignment]
    return found


def test_a_candidate_behind_many_that_fail_when_confirmed_wins():
    entries = [entry(f"number{place}") for place in range(8)]
    choice = search_of(entries, spent=50.0).choose()
    assert choice.winner is entries[-1]


def test_who_was_not_confirmed_before_the_budget_was_over_is_not_said_to_miss_a_limit():
    entries = [entry(f"number{place}") for place in range(8)]
    search = search_of(entries, spent=101.0)
    choice = search.choose()
    assert choice.winner is None
    assert [row.status for row in rows_of(search, choice)] == ["lost"] * 5 + ["unreached"] * 3
