"""Warm-up and stopping on a scripted clock: exact, nothing sleeps."""

import itertools

from harness.core.deployment import Sampling
from harness.support.clock import ManualClock
from harness.support.sampling import halfwidth, is_steady, sample, warm_up


def scripted(durations):
    clock, script = ManualClock(), itertools.cycle(durations)
    return clock, lambda: clock.advance(next(script))


def settings(**changes):
    return Sampling(**{"warmup_runs": 3, "warmup_seconds": 0.0, "min_runs": 10, "min_seconds": 0.0, "max_seconds": 100.0, **changes})


def test_samples_are_the_scripted_durations_in_order():
    clock, call = scripted([0.010, 0.011, 0.012])
    samples = sample(call, settings(), clock)
    assert [round(value, 3) for value in samples[:4]] == [0.010, 0.011, 0.012, 0.010]


def test_a_constant_call_stops_at_the_least_number_of_runs():
    clock, call = scripted([0.02])
    assert len(sample(call, settings(min_runs=25), clock)) == 25


def test_a_constant_call_runs_for_the_least_seconds():
    clock, call = scripted([0.25])
    assert len(sample(call, settings(min_seconds=10.0), clock)) == 40


def test_a_wild_call_runs_until_the_budget_is_spent_and_keeps_every_sample():
    clock, call = scripted([1.0, 5.0])
    samples = sample(call, settings(max_seconds=60.0), clock)
    assert sum(samples) == clock() >= 60.0
    assert sum(samples[:-1]) < 60.0


def test_a_call_slower_than_the_budget_still_gets_six_samples_so_that_an_interval_exists():
    clock, call = scripted([50.0])
    assert len(sample(call, settings(max_seconds=20.0, min_runs=30), clock)) == 6


def test_what_runs_before_each_call_is_not_timed():
    clock, call = scripted([0.01])
    samples = sample(call, settings(), clock, before=lambda: clock.advance(3.0))
    assert all(abs(value - 0.01) < 1e-9 for value in samples)


def test_warm_up_waits_for_the_slow_first_calls_to_pass():
    script = itertools.chain([1.0, 0.8, 0.5, 0.3], itertools.repeat(0.1))
    clock = ManualClock()
    samples = warm_up(lambda: clock.advance(next(script)), settings(), clock)
    assert is_steady(samples)
    assert samples[-3:] == [0.10000000000000009] * 3 or max(samples[-3:]) < 0.11


def test_warm_up_of_a_call_that_never_settles_ends_at_the_cap():
    clock, call = scripted([0.1, 0.1, 0.1, 0.1, 0.1, 1, 1, 1, 1, 1])
    warm_up(call, settings(warmup_max_seconds=30.0, warmup_runs=3), clock)
    assert clock() < 33.0


def test_halfwidth_is_infinite_without_an_interval():
    assert halfwidth([0.1] * 5) == float("inf")
    assert halfwidth([0.1] * 6) == 0.0
