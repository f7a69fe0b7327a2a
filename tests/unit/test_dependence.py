"""What dependent samples are worth: against numpy's sums and the arcsine law, and that independent ones lose next to nothing."""

import math

import numpy as np
import pytest

from harness.core.dependence import Indicator, samples_per_independent
from harness.core.measurement import Measurement, interval_ranks, percentile_interval
from harness.results.figure import Absent, tail_from_outcome


def with_memory(memory: float, count: int, seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    state, samples = rng.standard_normal(), []
    for _ in range(count):
        state = memory * state + math.sqrt(1 - memory**2) * rng.standard_normal()
        samples.append(0.01 * math.exp(0.2 * state))
    return samples


def worth(samples: list[float], share: float) -> float:
    return len(samples) / samples_per_independent(samples, sorted(samples), share)


@pytest.mark.parametrize("lag", [1, 2, 7, 60])
def test_the_autocorrelation_is_numpys(lag):
    samples = with_memory(0.8, 400, seed=3)
    flags = (np.array(samples) <= 0.0105).astype(float)
    centered = flags - flags.mean()
    assert Indicator(samples, 0.0105).autocorrelation(lag) == pytest.approx((centered[:-lag] * centered[lag:]).sum() / (centered**2).sum(), abs=1e-12)


@pytest.mark.parametrize("memory", [0.3, 0.6, 0.9])
def test_a_long_series_is_worth_what_the_arcsine_law_says(memory):
    """At the median of a Gaussian AR(1) the indicator's correlation k apart is 2 / pi * asin(memory ** k)."""
    tau = 1 + 2 * sum(2 / math.pi * math.asin(memory**lag) for lag in range(1, 400))
    found = [samples_per_independent(samples, sorted(samples), 0.5) for samples in (with_memory(memory, 20_000, seed) for seed in range(3))]
    assert np.mean(found) == pytest.approx(tau, rel=0.1)


def test_independent_samples_lose_next_to_nothing():
    series = [with_memory(0.0, 200, seed) for seed in range(300)]
    for share in (0.5, 0.95):
        assert np.mean([worth(samples, share) for samples in series]) > 0.96 * 200
        assert np.median([worth(samples, share) for samples in series]) == 200


def test_slow_calls_in_bursts_are_worth_less_at_the_tail():
    """One call in ten is slow, ten in a row: the median hardly notices."""
    rng = np.random.default_rng(0)
    slow = np.repeat(rng.random(100) < 0.1, 10)
    samples = (0.01 * np.where(slow, 1.6, 1.0) * np.exp(0.05 * rng.standard_normal(1000))).tolist()
    assert worth(samples, 0.95) < 0.6 * worth(samples, 0.5)


def test_a_pattern_over_the_inputs_in_turn_is_not_taken_for_memory():
    samples = [0.01, 0.012, 0.011, 0.013] * 50
    assert worth(samples, 0.5) == 200


@pytest.mark.parametrize("samples", [[0.01] * 100, [0.01] * 99 + [0.02], list(np.linspace(0.01, 0.02, 29))])
def test_constant_and_few_samples_count_as_independent(samples):
    assert worth(samples, 0.5) == len(samples)


def test_the_interval_is_that_of_fewer_samples_and_says_so():
    samples = with_memory(0.6, 1000, seed=1)
    interval, ordered = percentile_interval(samples, 0.5), sorted(samples)
    low, high = interval_ranks(1000, 0.5)
    assert interval.low < ordered[low - 1]
    assert interval.high > ordered[high - 1]
    assert interval.method == f"order statistics, 1000 dependent samples worth {int(worth(samples, 0.5))}"
    shuffled = np.random.default_rng(0).permutation(samples).tolist()
    assert percentile_interval(shuffled, 0.5).method == "order statistics"


def test_a_drift_has_no_interval_and_asks_for_more_samples_than_there_are():
    drifting = Measurement(quantity="latency", samples=tuple(np.linspace(0.01, 0.02, 100)))
    assert drifting.interval() is None
    assert drifting.needed() > 100
    tail = tail_from_outcome(drifting, 0.95)
    assert isinstance(tail, Absent)
    assert tail.shown == f"needs {drifting.needed(0.95)} samples"


@pytest.mark.parametrize(("memory", "least"), [(0.0, 0.93), (0.6, 0.92)])
def test_intervals_hold_the_truth_with_and_without_memory(memory, least):
    """400 runs of 300 calls; without the correction the second covers three times in four."""
    intervals = [percentile_interval(with_memory(memory, 300, seed), 0.5) for seed in range(400)]
    assert np.mean([one.low <= 0.01 <= one.high for one in intervals if one is not None]) >= least


@pytest.mark.parametrize("memory", [0.0, 0.6, 0.99])
def test_of_very_many_samples_those_a_step_apart_are_looked_at_and_count_for_no_more_than_all(memory):
    """The indicator of a normal series above its median has the autocorrelation 2 / pi * asin(r) (the arcsine law)."""
    law = 1 + 2 * sum(2 / math.pi * math.asin(memory**lag) for lag in range(1, 2000))
    tau = 100_000 / worth(with_memory(memory, 100_000, seed=3), 0.5)
    assert 0.8 * law <= tau <= 2.5 * law
