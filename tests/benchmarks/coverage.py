"""Do 95 % intervals hold the true value in 95 % of runs? Simulated runs of a fake call on a clock turned by hand, stopped by the real stopping rule.

Three kinds of noise around 10 ms: skewed (lognormal), bimodal (a tenth of the calls takes 1.6 times as long), and autocorrelated (an AR(1) of the
logarithm, 0.6 from call to call, as a governor or a neighbor makes it). The true percentiles are known from the distributions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm

from harness.core.deployment import Sampling
from harness.core.measurement import Measurement, percentile_interval
from harness.profiling.stability import advice_on
from harness.support.clock import ManualClock
from harness.support.sampling import sample

RUNS, MIDDLE, SPREAD, SLOW, SHARE, MEMORY = 2000, 0.010, 0.2, 1.6, 0.1, 0.6
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


def autocorrelated(rng: np.random.Generator) -> Iterator[float]:
    state = rng.standard_normal()
    while True:
        state = MEMORY * state + math.sqrt(1 - MEMORY**2) * rng.standard_normal()
        yield MIDDLE * math.exp(SPREAD * state)


def _mixture(value: float) -> float:
    return float((1 - SHARE) * norm.cdf(math.log(value / MIDDLE) / 0.05) + SHARE * norm.cdf(math.log(value / MIDDLE / SLOW) / 0.05))


def _true(kind: str, share: float) -> float:
    if kind == "bimodal":
        return float(brentq(lambda value: _mixture(value) - share, MIDDLE / 2, MIDDLE * 3))
    return MIDDLE * math.exp(SPREAD * float(norm.ppf(share)))


def measure(folder: Path) -> dict[str, Any]:
    """Coverage per noise, percentile and stopping rule, with its own 95 % binomial interval, and how often the samples were called dependent."""
    rows = []
    for kind, noise in (("skewed", skewed), ("bimodal", bimodal), ("autocorrelated", autocorrelated)):
        for rule, sampling in (("fixed 200 calls", FIXED), ("until the median is within 2 %", RULE)):
            rows += _rows(kind, noise, rule, sampling)
    return {"runs": RUNS, "rows": rows}


def _rows(kind: str, noise: Noise, rule: str, sampling: Sampling) -> list[dict[str, Any]]:
    truths = {name: _true(kind, share) for name, share in SHARES.items()}
    hits, flagged, counts = dict.fromkeys(SHARES, 0), 0, []
    for run in range(RUNS):
        samples = _simulated(noise(np.random.default_rng(run)), sampling)
        counts.append(len(samples))
        flagged += any(advice.kind == "dependent" for advice in advice_on([Measurement(quantity="latency", samples=tuple(samples))]))
        for name, share in SHARES.items():
            interval = percentile_interval(samples, share)
            hits[name] += interval is not None and interval.low <= truths[name] <= interval.high
    facts = {"noise": kind, "rule": rule, "median_calls": float(np.median(counts)), "called_dependent": flagged / RUNS}
    return [{**facts, "percentile": name, "coverage": hits[name] / RUNS, "coverage_interval": _binomial(hits[name])} for name in SHARES]


def _simulated(durations: Iterator[float], sampling: Sampling) -> list[float]:
    clock = ManualClock()
    return sample(lambda: clock.advance(next(durations)), sampling, clock)


def _binomial(hits: int) -> list[float]:
    """Central 95 % range of the count at the seen rate, as shares."""
    return [float(binom.ppf(tail, RUNS, hits / RUNS) / RUNS) for tail in (0.025, 0.975)]
