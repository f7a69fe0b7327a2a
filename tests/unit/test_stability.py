"""What makes a series of timings doubtful."""

import re

import numpy as np
import pytest
from scipy.stats import spearmanr

from harness.core.measurement import Measurement
from harness.profiling.stability import advice_on, rank_correlation


def kinds(samples) -> set[str]:
    return {advice.kind for advice in advice_on([Measurement(quantity="latency", samples=tuple(samples))])}


@pytest.mark.parametrize("seed", range(5))
def test_the_correlation_is_spearmans(seed):
    samples = np.random.default_rng(seed).normal(size=400).tolist()
    assert rank_correlation(samples) == pytest.approx(spearmanr(samples[:-1], samples[1:]).statistic, abs=0.01)


def test_steady_independent_calls_raise_nothing():
    assert kinds(0.01 * np.exp(0.02 * np.random.default_rng(0).standard_normal(500))) == set()
    assert kinds([0.01] * 50) == set()


def test_calls_that_depend_on_the_one_before_are_named_with_what_they_are_worth():
    rng = np.random.default_rng(1)
    state, samples = 0.0, []
    for _ in range(2000):
        state = 0.6 * state + 0.8 * rng.standard_normal()
        samples.append(0.01 * (1 + 0.02 * state))
    (advice,) = advice_on([Measurement(quantity="latency", samples=tuple(samples))])
    assert advice.kind == "dependent"
    worth = int(re.search(r"than (\d+) independent", advice.message)[1])
    assert worth == pytest.approx(2000 / 2.97, rel=0.2)  # by the arcsine law: 1 + 2 * sum of 2 / pi * asin(0.6 ** k)


def test_few_calls_are_not_called_dependent_by_chance():
    flagged = sum("dependent" in kinds(0.01 * np.exp(0.02 * np.random.default_rng(seed).standard_normal(30))) for seed in range(200))
    assert flagged <= 4


def test_drift_noise_and_shortness_are_named():
    assert "drifting" in kinds(np.linspace(0.01, 0.02, 100))
    assert "noisy" in kinds(np.random.default_rng(0).uniform(0.01, 0.02, 200))
    assert "short" in kinds([1e-4] * 50)
