"""Do 95 % intervals hold the true value in 95 % of runs? Simulated runs of a fake call on a clock turned by hand, stopped by the real stopping rule.

Noise around 10 ms: skewed (lognormal), bimodal (a tenth of the calls takes 1.6 times as long), and lognormal with a memory (an AR(1) of the
logarithm, 0.6 or 0.9 from call to call, as a governor or a neighbor makes it). The true percentiles are known from the distributions. Beside each coverage
stands that of order statistics that take the calls for independent, how much wider ours are, and in how many runs we say that there are too few samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm

from harness.core.deployment import Sampling
from harness.core.measurement import Measurement, interval_ranks, percentile_interval
from harness.profiling.stability import advice_on
from harness.support.clock import ManualClock
from harness.support.sampling import sample

RUNS, MIDDLE, SPREAD, SLOW, SHARE = 2000, 0.010, 0.2, 1.6, 0.1
SHARES = {"p50": 0.5, "p95": 0.95}
RULE = Sampling(min_runs=100, min_seconds=0.0, max_seconds=10.0, target_halfwidth=0.02)
FIXED = RULE.model_copy(update={"min_runs": 200, "target_halfwidth": 0.99})

Noise = Callable[[np.random.Generator], Iterator[float]]


def skewed(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from MIDDLE * np.exp(SPREAD * rng.standard_normal(256))


def bimodal(rng: np.random.Generator) -> Iterator[float]:
    while True:
        slow = np.where(rng.random(256) < SHARE, SLOW, 1.0)
        yield from MIDDLE * slow * np.exp(0.05 * rng.standard_normal(256))


def autocorrelated(rng: np.random.Generator, memory: float = 0.6) -> Iterator[float]:
    state = rng.standard_normal()
    while True:
        state = memory * state + math.sqrt(1 - memory**2) * rng.standard_normal()
        yield MIDDLE * math.exp(SPREAD * state)


def wandering(rng: np.random.Generator) -> Iterator[float]:
    return autocorrelated(rng, 0.9)


KINDS: Mapping[str, Noise] = {"skewed": skewed, "bimodal": bimodal, "autocorrelated 0.6": autocorrelated, "autocorrelated 0.9": wandering}


def _mixture(value: float) -> float:
    return float((1 - SHARE) * norm.cdf(math.log(value / MIDDLE) / 0.05) + SHARE * norm.cdf(math.log(value / MIDDLE / SLOW) / 0.05))


def _true(kind: str, share: float) -> float:
    if kind == "bimodal":
        return float(brentq(lambda value: _mixture(value) - share, MIDDLE / 2, MIDDLE * 3))
    return MIDDLE * math.exp(SPREAD * float(norm.ppf(share)))


def measure(folder: Path, runs: int = RUNS) -> dict[str, Any]:
    """Coverage per noise, percentile and stopping rule, with its own 95 % binomial interval, and how often the samples were called dependent."""
    rows = []
    for kind, noise in KINDS.items():
        for rule, sampling in (("fixed 200 calls", FIXED), ("until the median is within 2 %", RULE)):
            rows += _rows(kind, rule, [_simulated(noise(np.random.default_rng(run)), sampling) for run in range(runs)])
    return {"runs": runs, "rows": rows}


def _rows(kind: str, rule: str, series: list[list[float]]) -> list[dict[str, Any]]:
    flagged = [any(advice.kind == "dependent" for advice in advice_on([Measurement(quantity="latency", samples=tuple(one))])) for one in series]
    facts = {"noise": kind, "rule": rule, "median_calls": float(np.median([len(one) for one in series])), "called_dependent": float(np.mean(flagged))}
    return [{**facts, "percentile": name, **_coverage(series, share, _true(kind, share))} for name, share in SHARES.items()]


def _coverage(series: list[list[float]], share: float, truth: float) -> dict[str, Any]:
    """Of the intervals that there are, how many hold the truth; the same for independent order statistics; the median of the widths' ratio."""
    ours = [percentile_interval(samples, share) for samples in series]
    plain = [_plain(samples, share) for samples in series]
    hits = [one.low <= truth <= one.high for one in ours if one is not None]
    ratios = [(one.high - one.low) / (high - low) for one, (low, high) in zip(ours, plain, strict=True) if one is not None]
    return {
        "coverage": float(np.mean(hits)),
        "coverage_interval": _binomial(sum(hits), len(hits)),
        "without_interval": 1 - len(hits) / len(series),
        "coverage_if_taken_for_independent": float(np.mean([low <= truth <= high for low, high in plain])),
        "width_to_independent": float(np.median(ratios)),
    }


def _plain(samples: list[float], share: float) -> tuple[float, float]:
    low, high = interval_ranks(len(samples), share) or (1, len(samples))
    ordered = sorted(samples)
    return ordered[low - 1], ordered[high - 1]


def _simulated(durations: Iterator[float], sampling: Sampling) -> list[float]:
    clock = ManualClock()
    return sample(lambda: clock.advance(next(durations)), sampling, clock)


def _binomial(hits: int, runs: int) -> list[float]:
    """Central 95 % range of the count at the seen rate, as shares."""
    return [float(binom.ppf(tail, runs, hits / runs) / runs) for tail in (0.025, 0.975)]
