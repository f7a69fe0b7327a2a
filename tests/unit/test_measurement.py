"""Percentiles and their intervals against numpy and against the binomial distribution of scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, t

from harness.core.measurement import Measurement, bound_needs, interval_ranks, percentile, percentile_interval, samples_needed, tail_bound

SHARES = (0.5, 0.9, 0.95, 0.99)


@pytest.mark.parametrize(("share", "needed"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_the_interval_exists_from_the_sample_count_on_that_theory_gives(share, needed):
    assert samples_needed(share) == needed
    assert interval_ranks(needed - 1, share) is None
    assert interval_ranks(needed, share) is not None


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("count", [6, 50, 72, 100, 368, 1000, 20_000])
def test_ranks_leave_at_most_two_and_a_half_percent_in_each_tail_and_are_the_tightest(count, share):
    ranks = interval_ranks(count, share)
    if ranks is None:
        pytest.skip(f"no interval for {count} samples")
    low, high = ranks
    below = binom(count, share)
    assert below.cdf(low - 1) <= 0.025 < below.cdf(low)
    assert below.sf(high - 1) <= 0.025 < below.sf(high - 2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.sampled_from(SHARES))
@settings(max_examples=200, deadline=None)
def test_percentile_is_numpys(samples, share):
    assert percentile(samples, share) == pytest.approx(np.percentile(samples, 100 * share), rel=1e-12, abs=1e-9)


def test_the_interval_covers_the_true_median_of_skewed_samples_as_often_as_it_says():
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(2000):
        interval = percentile_interval(rng.lognormal(0, 1, size=50).tolist(), 0.5)
        hits += interval is not None and interval.low <= 1.0 <= interval.high
    assert 0.94 <= hits / 2000 <= 0.98  # order statistics are discrete, so the true coverage is a little over 95 %


@pytest.mark.parametrize("count", [10, 20])
def test_the_mean_of_few_samples_has_the_interval_of_student(count):
    samples = np.random.default_rng(count).lognormal(size=count)
    found = Measurement(quantity="latency", samples=tuple(samples)).mean_interval()
    wanted = t.interval(0.95, count - 1, samples.mean(), samples.std(ddof=1) / math.sqrt(count))
    assert (found.low, found.high) == pytest.approx(wanted, rel=1e-9)


def test_the_mean_of_many_dependent_samples_is_as_unsure_as_that_of_their_batches():
    """Twenty levels, held for 50 samples each, tell no more than twenty samples."""
    levels = np.random.default_rng(0).lognormal(size=20)
    held, alone = (Measurement(quantity="latency", samples=tuple(values)).mean_interval() for values in (np.repeat(levels, 50), levels))
    assert (held.low, held.high) == pytest.approx((alone.low, alone.high), rel=1e-9)


def test_a_value_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        Measurement(quantity="latency", samples=(0.1, float("nan")))


def test_an_unknown_quantity_is_refused():
    with pytest.raises(Exception, match="latency"):
        Measurement(quantity="latencyy", samples=(0.1,))


@pytest.mark.parametrize(("share", "needed"), [(0.9, 64), (0.95, 130), (0.99, 662)])
def test_a_bound_on_the_tail_needs_as_many_samples_as_mlperf_publishes(share, needed):
    assert bound_needs(share) == needed
    samples = np.random.default_rng(0).permutation(needed).astype(float).tolist()
    assert tail_bound(samples, share) == needed - 1
    assert tail_bound(samples[:-1], share) is None


@pytest.mark.parametrize("share", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("count", [700, 1000, 20_000])
def test_the_bound_is_the_sample_that_the_binomial_distribution_of_scipy_names(share, count):
    over = max(above for above in range(count) if binom.cdf(above, count, 1 - share) <= 0.01)
    samples = np.random.default_rng(1).permutation(count).astype(float)
    assert tail_bound(samples.tolist(), share) == np.sort(samples)[count - over]


def test_the_bound_is_below_the_true_percentile_in_at_most_one_run_in_a_hundred():
    rng = np.random.default_rng(3)
    below = sum(tail_bound(rng.exponential(size=400).tolist(), 0.95) < -np.log(0.05) for _ in range(2000))
    assert below <= 30  # 1 % of 2000 is 20; more than 30 has a chance below 1.5 %


def test_dependent_samples_give_a_later_bound():
    state, samples = 0.0, []
    for noise in np.random.default_rng(0).standard_normal(1000):
        state = 0.6 * state + 0.8 * noise
        samples.append(math.exp(0.2 * state))
    shuffled = np.random.default_rng(1).permutation(samples).tolist()
    measured = Measurement(quantity="latency", samples=tuple(samples))
    assert measured.tail_bound(0.95) > tail_bound(shuffled, 0.95)
