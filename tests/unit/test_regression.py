"""The gate's statistics against hand-made cases, an outside oracle, and a made-up busy machine."""

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from harness.core.deployment import DeploymentProfile
from harness.core.errors import ConfigError
from harness.core.measurement import Interval
from harness.core.tolerance import Tolerance, tolerance_from
from harness.gate import judging
from harness.profiling import paired
from harness.profiling.decisions import Decisions
from harness.profiling.rounds import MANY_CALLS, calls_per_visit, order_of, time_rounds, visit
from harness.results import regression
from harness.results.regression import Change, Outcome, Round, Seen
from harness.support.clock import ManualClock
from harness.tuning import arm
from tests.machine_model import BusyMachine

FIVE = Tolerance(0.05, True)


def rounds_of(seed: int, slower: float = 1.0, *, rounds: int = 40, **noise) -> list[Round]:
    machine = BusyMachine(seed, **noise)
    arms = [machine.arm(0.005), machine.arm(0.005), machine.arm(0.005 * slower)]
    return [Round(*one) for one in time_rounds(arms, machine.clock, rounds=rounds, calls=10, max_seconds=1e9)]


def exact_rounds(ratio: float, count: int = 12) -> list[Round]:
    return [Round(1.0 + index / 10, 1.0 + index / 10, ratio * (1.0 + index / 10)) for index in range(count)]


@pytest.mark.parametrize("drop", [0.0, 0.001])
def test_the_interval_of_a_relative_drop_is_relative_too_also_where_the_drop_is_nothing(drop):
    """0.04 of an mIoU of 0.5 is 8 %, which 5 % does not hold."""
    interval = Interval(low=-0.04, high=0.04, method="paired")
    seen = judging._seen_miou(Decisions(0.5 + drop, 0.5, drop, interval, 0.9, 9), FIVE)
    assert (seen.worse, seen.low, seen.high) == pytest.approx((2 * drop, -0.08, 0.08))
    assert regression.judged("miou", FIVE, seen).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("text", "amount", "relative"), [("5%", 0.05, True), (" 0.5 % ", 0.005, True), (0, 0.0, False), (0.005, 0.005, False)])
def test_a_tolerance_is_a_share_or_a_number(text, amount, relative):
    assert tolerance_from(text) == (pytest.approx(amount), relative)


@pytest.mark.parametrize("text", ["5", "five%", "-5%", -0.1, math.nan, math.inf])
def test_another_tolerance_is_refused_also_by_a_profile(text):
    with pytest.raises(ConfigError):
        tolerance_from(text)
    with pytest.raises(ValueError, match="regression"):
        DeploymentProfile(schema=1, name="x", purpose="x", regression={"latency": text})


def test_a_profile_refuses_a_tolerance_of_an_unknown_quantity():
    with pytest.raises(ValueError, match="unknown quantity"):
        DeploymentProfile(schema=1, name="x", purpose="x", regression={"latencyy": "5%"})


def test_a_round_visits_each_arm_twice_in_a_mirrored_order_that_rotates():
    assert order_of(3, 0) == [0, 1, 2, 2, 1, 0]
    assert order_of(3, 1) == [1, 2, 0, 0, 2, 1]


def test_a_linear_drift_cancels_within_a_round():
    """Calls that grow by a constant factor each: every pair of arms has the ratio 1, while a sequential comparison sees the drift."""
    machine = BusyMachine(0, spread=0.0, wander=0.0, burst=0.0, drift=0.0)
    steps = iter(range(10_000))
    arms = [lambda: machine.clock.advance(math.exp(0.001 * next(steps)))] * 3
    found = time_rounds(arms, machine.clock, rounds=6, calls=1, max_seconds=1e9)
    for one in found:
        assert one[1] / one[0] == pytest.approx(1.0)
        assert one[2] / one[0] == pytest.approx(1.0)
    assert found[-1][0] / found[0][0] > 1.02


def spinning(clock: ManualClock, seconds: float, *, spins: bool, until: list[float]):
    """An arm whose calls take twice as long while another's threads spin, as its own do for 50 ms after a call."""

    def call() -> None:
        clock.advance(seconds * (1 if spins or clock() >= until[0] else 2))
        until[0] = clock() + 0.05 if spins else until[0]

    return call


@pytest.mark.parametrize(("seconds", "rests", "ratio"), [(0.2, False, 2.0), (0.2, True, 1.0), (0.0005, False, 1.0), (0.02, True, 1.0)])
def test_what_an_arm_leaves_running_is_waited_for(seconds, rests, ratio):
    """Two of the three spin, so that the third always comes after one that does. Of many short calls some come after that."""
    clock, until = ManualClock(), [0.0]
    arms = [spinning(clock, seconds, spins=spins, until=until) for spins in (True, True, False)]
    rest = (lambda: clock.advance(0.1)) if rests else None
    calls = calls_per_visit(seconds, 0.05)
    found = time_rounds(arms, clock, rounds=6, calls=calls, max_seconds=1e9, rest=rest)
    assert max(one[2] / one[0] for one in found) == pytest.approx(ratio)


def test_before_many_calls_nobody_rests():
    clock, rests = ManualClock(), []
    visit(lambda: clock.advance(0.001), clock, MANY_CALLS, rest=lambda: rests.append("many"))
    visit(lambda: clock.advance(0.001), clock, MANY_CALLS - 1, rest=lambda: rests.append("fewer"))
    assert rests == ["fewer"]


@pytest.mark.parametrize("module", [arm, paired])
def test_processes_that_take_turns_rest(module, monkeypatch):
    clock, rests = ManualClock(), []
    session = SimpleNamespace(bind=lambda inputs: None, run=lambda: clock.advance(0.2), sync=lambda: None)
    subject = SimpleNamespace(session=session, examples=lambda: [[]], clock=clock, profile=DeploymentProfile(schema=1, name="x", purpose="x"))
    monkeypatch.setattr(module, "settle", lambda: rests.append(clock()))
    if module is paired:
        paired.time_in_turns([subject] * 3, SimpleNamespace(visit_seconds=0.05, rounds=4, max_seconds=1e9))
    else:
        monkeypatch.setattr(arm, "ask", lambda probe, subject: [])
        arm._serve(subject, io.StringIO("1\n" * 24), io.StringIO())
    assert len(rests) == 4 * 6


def test_rounds_end_when_the_seconds_are_over_but_not_before_four():
    machine = BusyMachine(1)
    assert len(time_rounds([machine.arm(1.0)] * 3, machine.clock, rounds=50, calls=1, max_seconds=0.0)) == 4


@pytest.mark.parametrize(("seconds", "calls"), [(0.001, 50), (0.04, 3), (0.2, 1), (0.0, 200)])
def test_a_visit_is_filled_with_calls(seconds, calls):
    assert calls_per_visit(seconds, 0.05) == calls


def test_the_change_of_latency_is_the_median_of_paired_ratios_with_the_sign_tests_interval():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(15, 3)) * 0.02
    rounds = [Round(*np.exp(row)) for row in noise]
    seen = regression.seen_in_rounds(rounds)
    ratios = noise[:, 2] - noise[:, 0]
    assert seen.worse == pytest.approx(math.expm1(np.median(ratios)))
    oracle = stats.quantile_test(ratios, p=0.5, q=0.0).confidence_interval(0.95)
    assert math.log1p(seen.low) == pytest.approx(oracle.low)
    assert math.log1p(seen.high) == pytest.approx(oracle.high)


def test_five_rounds_are_too_few_for_an_interval():
    assert regression.seen_in_rounds(exact_rounds(1.0, 5)) is None


@pytest.mark.parametrize(("ratio", "outcome"), [(1.0, Outcome.PASS), (0.5, Outcome.PASS), (1.04, Outcome.PASS), (1.06, Outcome.FAIL), (2.0, Outcome.FAIL)])
def test_without_noise_the_tolerance_alone_decides(ratio, outcome):
    assert regression.judged("latency", FIVE, regression.seen_in_rounds(exact_rounds(ratio))).outcome is outcome


def test_a_tolerance_below_what_can_be_detected_is_refused_unless_the_change_is_beyond_both():
    noisy = Seen(1.0, 1.0, 0.0, -0.04, 0.04, 0.08)
    change = regression.judged("latency", FIVE, noisy)
    assert change.outcome is Outcome.INCONCLUSIVE
    assert "refused" in change.why
    assert "8 %" in change.why
    assert regression.judged("latency", FIVE, Seen(1.0, 1.07, 0.07, 0.06, 0.08, 0.08)).outcome is Outcome.INCONCLUSIVE
    assert regression.judged("latency", FIVE, Seen(1.0, 2.0, 1.0, 0.9, 1.1, 0.08)).outcome is Outcome.FAIL


def test_an_interval_over_the_tolerance_is_inconclusive():
    change = regression.judged("latency", FIVE, Seen(1.0, 1.05, 0.05, 0.04, 0.06, 0.01))
    assert (change.outcome, change.why) == (Outcome.INCONCLUSIVE, "the interval straddles the tolerance")


def test_a_twin_that_differs_raises_what_can_be_detected():
    rounds = [Round(1.0, 1.1, 1.0)] * 10
    assert regression.seen_in_rounds(rounds).detectable == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "tolerance", "before", "after", "worse"),
    [
        ("latency", FIVE, 2.0, 3.0, 0.5),
        ("throughput", FIVE, 3.0, 2.0, 0.5),
        ("miou", Tolerance(0.005, False), 0.80, 0.79, 0.01),
        ("forward_flops", Tolerance(0.0, False), 100.0, 101.0, 1.0),
        ("forward_flops", FIVE, 0.0, 0.0, 0.0),
        ("forward_flops", FIVE, 0.0, 1.0, math.inf),
    ],
)
def test_worse_is_positive_whichever_way_is_better(name, tolerance, before, after, worse):
    assert regression.worsening(name, before, after, tolerance) == pytest.approx(worse)


@pytest.mark.parametrize(("after", "outcome"), [(100.0, Outcome.PASS), (101.0, Outcome.FAIL), (99.0, Outcome.PASS)])
def test_counts_are_judged_exactly(after, outcome):
    none = Tolerance(0.0, False)
    assert regression.judged("forward_flops", none, regression.seen_in_counts("forward_flops", 100.0, after, none)).outcome is outcome


def test_memory_growth_of_five_percent_is_found_over_two_allowed():
    before = [100.0, 100.4, 99.8, 100.1, 100.2, 99.9]
    two = Tolerance(0.02, True)
    grown = regression.seen_in_repeats(before, [value * 1.05 for value in before])
    assert regression.judged("peak_host_memory", two, grown).outcome is Outcome.FAIL
    assert regression.judged("peak_host_memory", two, regression.seen_in_repeats(before, before[::-1])).outcome is Outcome.PASS
    assert regression.seen_in_repeats(before[:5], before[:5]) is None


def test_figures_measured_apart_are_compared_end_against_end():
    near = Interval(low=0.98, high=1.02, method="x")
    seen = regression.seen_in_intervals("latency", (1.0, near), (1.2, Interval(low=1.18, high=1.22, method="x")), FIVE)
    assert seen.low == pytest.approx(1.18 / 1.02 - 1)
    assert seen.high == pytest.approx(1.22 / 0.98 - 1)
    assert regression.judged("latency", FIVE, seen).outcome is Outcome.FAIL


@pytest.mark.parametrize(("after", "outcome"), [(1.02, Outcome.PASS), (1.04, Outcome.INCONCLUSIVE), (1.09, Outcome.INCONCLUSIVE), (1.2, Outcome.FAIL)])
def test_single_values_are_judged_only_far_from_the_tolerance(after, outcome):
    seen = regression.seen_in_intervals("peak_host_memory", (1.0, None), (after, None), FIVE)
    assert regression.judged("peak_host_memory", FIVE, seen).outcome is outcome


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ((Outcome.PASS, Outcome.PASS), Outcome.PASS),
        ((Outcome.PASS, Outcome.INCONCLUSIVE), Outcome.INCONCLUSIVE),
        ((Outcome.INCONCLUSIVE, Outcome.FAIL), Outcome.FAIL),
        ((), Outcome.INCONCLUSIVE),
    ],
)
def test_the_worst_change_decides(outcomes, whole):
    assert regression.joint([Change("latency", outcome, "", FIVE) for outcome in outcomes]) is whole


def judged_twice(first: list[Round], again: list[Round]) -> tuple[Change, int]:
    asked: list[int] = []

    def measure(attempt: int) -> list[Round]:
        asked.append(attempt)
        return (first, again)[attempt]

    return regression.judged_twice(measure, lambda rounds: regression.judged("latency", FIVE, regression.seen_in_rounds(rounds))), len(asked)


def test_a_pass_is_not_measured_again_and_anything_else_is_once():
    assert judged_twice(exact_rounds(1.0), exact_rounds(2.0)) == (judged_twice(exact_rounds(1.0), [])[0], 1)
    change, times = judged_twice(exact_rounds(1.2), exact_rounds(1.2))
    assert (change.outcome, times) == (Outcome.FAIL, 2)
    assert "measured twice" in change.why


def test_a_slowdown_that_is_gone_when_measured_again_does_not_fail():
    change, _ = judged_twice(exact_rounds(1.5, 30), exact_rounds(1.0, 6))
    assert change.outcome is Outcome.INCONCLUSIVE
    assert "not when measured again" in change.why


def test_on_a_busy_machine_equal_code_never_fails_and_ten_percent_is_found():
    """20 pairs each; the sequential spread of such a machine is above 10 %."""
    middles = [np.median([one.baseline for one in rounds_of(seed, rounds=6)]) for seed in range(12)]
    assert np.std(np.log(middles)) > 0.05
    three = Tolerance(0.03, True)
    same = [regression.judged("latency", three, regression.seen_in_rounds(rounds_of(seed))).outcome for seed in range(20)]
    slow = [regression.judged("latency", three, regression.seen_in_rounds(rounds_of(100 + seed, 1.10))).outcome for seed in range(20)]
    assert Outcome.FAIL not in same
    assert same.count(Outcome.PASS) >= 18
    assert slow.count(Outcome.FAIL) >= 19
