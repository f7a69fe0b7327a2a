"""Decisions under limits, by hand: what fits, what it costs, what comes near."""

from __future__ import annotations

import json

import pytest

from harness.core.record import ProfileRecord
from harness.results.recommend import Asked, Recommendation, recommend
from harness.results.render_recommendation import lines_of, object_of
from harness.results.row import Row
from harness.results.store import Records
from harness.results.table import table_from_records
from tests.builders import checkpoint, failed, latency, miou, record, single

FAST = Asked("--max-latency 50ms", "latency", max=0.05)
SMALL = Asked("--max-memory 1GB", "memory", max=1e9)
GOOD = Asked("--min-miou 0.6", "miou", min=0.6)


def item(model: str, p50: float, score: float, memory: float = 5e8) -> ProfileRecord:
    """Intervals: latency about 2 % around the median, mIoU 0.03 to both sides."""
    return record(model, measured=[latency(p50), miou(score), single("peak_host_memory", memory)])


def asked(*records: ProfileRecord, limits: tuple[Asked, ...] = (FAST, SMALL, GOOD), objective: str = "miou") -> Recommendation:
    (group,) = table_from_records(Records(records)).groups
    return recommend(group, limits, objective)


def model(row: Row | None) -> str | None:
    return None if row is None else row.record.cell.model


BEST, SECOND, SLOW, HEAVY, WEAK = (
    item("best+x", 0.04, 0.8),
    item("second+x", 0.02, 0.7),
    item("slow+x", 0.1, 0.9),
    item("heavy+x", 0.03, 0.85, 2e9),
    item("weak+x", 0.01, 0.4),
)


def test_the_best_of_those_that_fit_and_the_runner_up() -> None:
    answer = asked(BEST, SECOND, SLOW, HEAVY, WEAK)
    assert (model(answer.best), model(answer.runner_up), answer.fitting, answer.considered) == ("best+x", "second+x", 2, 5)
    assert not answer.is_tie
    assert answer.misses == ()


def test_what_each_limit_gives_away() -> None:
    speed, memory, accuracy = asked(BEST, SECOND, SLOW, HEAVY, WEAK).costs
    assert (model(speed.without), speed.gives_away, speed.is_noise) == ("slow+x", pytest.approx(0.1), False)
    assert speed.needs == pytest.approx(0.1, rel=0.02)
    assert speed.needs is not None
    assert speed.needs > 0.1  # the bad side of the interval, not the median
    assert (model(memory.without), memory.gives_away, memory.is_noise, memory.needs) == ("heavy+x", pytest.approx(0.05), True, 2e9)
    assert accuracy.without is None


def test_a_limit_is_met_by_the_bad_side_of_the_interval_only() -> None:
    straddling = item("near+x", 0.0499, 0.9)
    answer = asked(straddling, BEST)
    assert model(answer.best) == "best+x"
    assert [model(candidate.row) for candidate in answer.unknown] == ["near+x"]
    assert asked(item("near+x", 0.02, 0.61)).best is None


def test_not_measured_is_unknown_and_no_candidate() -> None:
    dead = record("dead+x", measured=[failed("latency", "out of memory"), miou(0.95), single("peak_host_memory", 1e8)])
    answer = asked(dead, SECOND)
    assert model(answer.best) == "second+x"
    assert [model(candidate.row) for candidate in answer.unknown] == ["dead+x"]
    assert asked(dead).best is None


def test_few_samples_are_unknown() -> None:
    few = record("few+x", measured=[latency(0.01, count=3), miou(0.9), single("peak_host_memory", 1e8)])
    assert asked(few).best is None


def test_the_nearest_misses_come_first() -> None:
    answer = asked(item("far+x", 0.5, 0.9), item("near+x", 0.06, 0.9), SLOW, item("farther+x", 5.0, 0.9))
    assert answer.best is None
    assert [model(candidate.row) for candidate in answer.misses] == ["near+x", "slow+x", "far+x"]
    text = "\n".join(lines_of(answer))
    assert "no candidate, nearest misses" in text
    assert "FAIL latency: at most 50.0 ms, seen 60.0 ms" in text
    assert "--max-latency 50ms: without it the choice is" in text


def test_a_tie_within_noise_is_said_and_the_faster_of_equals_wins() -> None:
    answer = asked(item("a+x", 0.04, 0.8), item("b+x", 0.02, 0.8))
    assert model(answer.best) == "b+x"
    assert answer.is_tie
    assert "differs within noise" in "\n".join(lines_of(answer))


def test_another_objective() -> None:
    answer = asked(BEST, SECOND, objective="latency")
    assert model(answer.best) == "second+x"


def test_memory_is_that_of_the_device_that_runs_the_model() -> None:
    measured = [latency(0.01), miou(0.9), single("peak_host_memory", 5e9), single("peak_device_memory", 5e8)]
    assert model(asked(record("gpu+x", measured=measured, device="cuda")).best) == "gpu+x"
    assert asked(record("cpu+x", measured=measured)).best is None


def test_a_tail_that_has_too_few_samples_is_unknown() -> None:
    tail = Asked("--max-p95 1s", "latency", "p95", max=1.0)
    assert asked(record("few+x", measured=[latency(0.01, count=71), miou(0.9)]), limits=(tail,)).best is None
    assert model(asked(record("more+x", measured=[latency(0.01, count=72), miou(0.9)]), limits=(tail,)).best) == "more+x"


def test_without_limits_everything_fits() -> None:
    assert model(asked(BEST, SLOW, limits=()).best) == "slow+x"


def test_the_object_is_json_and_names_records() -> None:
    found = json.loads(json.dumps(object_of(asked(BEST, SECOND, SLOW)), allow_nan=False))
    assert found["best"]["record"] == BEST.id
    assert found["runner_up"]["record"] == SECOND.id
    assert found["costs"][0]["without"] == SLOW.id
    nothing = object_of(asked(SLOW))
    assert nothing["misses"][0]["verdicts"][0]["status"] == "FAIL"


def test_what_makes_the_choice_doubtful_is_said() -> None:
    weak = record("weak+x", measured=[latency(0.01), miou(0.7, baselines={"threshold": 0.83}), single("peak_host_memory", 5e8)])
    answer = asked(weak)
    assert "warning: under baseline: mIoU is not above threshold (0.830)" in "\n".join(lines_of(answer))
    assert object_of(answer)["best"]["flags"][0]["kind"] == "under baseline"


def test_a_record_can_not_steer_the_terminal() -> None:
    assert "\x1b" not in "\n".join(lines_of(asked(item("\x1b[31mred+x", 0.01, 0.9))))


def test_rows_that_differ_in_seed_or_options_alone_are_named_by_them() -> None:
    measured = [latency(0.02), miou(0.8), single("peak_host_memory", 5e8)]
    twins = [record("a+x", made=checkpoint("a+x", seed=seed, encoder_options={"width": 64 + seed}), measured=measured) for seed in (0, 1)]
    best, second = (line for line in lines_of(asked(*twins)) if "a+x" in line and "costs" not in line)
    assert {"seed 0, settings width=64 #", "seed 1, settings width=65 #"} == {line[line.index("seed") : line.index("#") + 1] for line in (best, second)}
    (alone,) = (line for line in lines_of(asked(twins[0])) if "best choice" in line)
    assert "seed" not in alone
