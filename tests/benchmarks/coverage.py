"""Do 95 % intervals hold the true value in 95 % of runs? Simulated runs of a fake call on a clock turned by hand, stopped by the real stopping rule.

Noise around 10 ms: skewed (lognormal), bimodal (a tenth of the calls takes 1.6 times as long), and lognormal with a memory (an AR(1) of the
logarithm, 0.6 or 0.9 from call to call, as a governor or a neighbor makes it). The true percentiles are known from the distributions. Beside each coverage
stands that of order statistics that take the calls for independent, how much wider ours are, and in how many runs we say that there are too few samples.

Scores by region: mIoU of two classes and of five, one of them rare, in regions of unequal size; the paired drop of mIoU between two models; the share of
pixels on which two models agree, with a few regions where they don't; the calibration error. Truth is that of 200,000 regions. Beside each coverage stands
that of the percentiles of 2,000 resamples of the regions.
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
from harness.core.measurement import Interval, Measurement, interval_ranks, percentile_interval
from harness.metrics.calibration import _error
from harness.profiling.stability import advice_on
from harness.support.clock import ManualClock
from harness.support.confusion import drop_interval, drop_of, interval_over_regions, iou_per_class, mean_over_present, miou_interval
from harness.support.sampling import sample

RUNS, MIDDLE, SPREAD, SLOW, SHARE = 2000, 0.010, 0.2, 1.6, 0.1
PIXELS, RESAMPLES, REGIONS = 5000, 2000, (3, 4, 5, 6, 8, 12, 20, 40)
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


def _true_mean(kind: str) -> float:
    if kind == "bimodal":
        return MIDDLE * (1 - SHARE + SHARE * SLOW) * math.exp(0.05**2 / 2)
    return MIDDLE * math.exp(SPREAD**2 / 2)


def measure(folder: Path, runs: int = RUNS) -> dict[str, Any]:
    """Coverage per noise, statistic and stopping rule, with its own 95 % binomial interval, and how often the samples were called dependent."""
    rows = []
    for kind, noise in KINDS.items():
        for rule, sampling in (("fixed 200 calls", FIXED), ("until the median is within 2 %", RULE)):
            rows += _rows(kind, rule, [_simulated(noise(np.random.default_rng(run)), sampling) for run in range(runs)])
    return {"runs": runs, "rows": rows, "scores": score_coverage(runs)}


Regions = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Statistic = Callable[[np.ndarray], np.ndarray]


def _matrices(zeros: np.ndarray, ones: np.ndarray, right_zeros: np.ndarray, right_ones: np.ndarray) -> np.ndarray:
    return np.stack([np.stack([right_zeros, zeros - right_zeros], -1), np.stack([ones - right_ones, right_ones], -1)], -2)


def two_classes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    ones = (PIXELS * rng.beta(1.2, 1.8, shape)).astype(int)
    right = [rng.binomial(count, np.clip(rng.beta(8, 2, shape), 0.3, 0.99)) for count in (PIXELS - ones, ones)]
    return _matrices(PIXELS - ones, ones, *right)


def five_classes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    shares = rng.gamma([1.5, 1.0, 1.0, 0.6, 0.2], size=(*shape, 5))
    truth = shares / shares.sum(-1, keepdims=True) * (PIXELS * np.exp(rng.normal(0, 0.7, shape)))[..., None]
    right = np.clip(rng.beta(8, 2, (*shape, 5)) * [1, 0.95, 0.9, 0.8, 0.7], 0.1, 0.99)[..., None]
    confused = rng.gamma(0.7, size=(*shape, 5, 5)) * (1 - np.eye(5))
    return np.round(truth[..., None] * ((1 - right) * confused / confused.sum(-1, keepdims=True) + right * np.eye(5))).astype(int)


def two_models(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    ones = (PIXELS * rng.beta(1.2, 1.8, shape)).astype(int)
    rates = [np.clip(rng.beta(8, 2, shape), 0.3, 0.99) for _ in range(2)]
    worse = np.clip(rng.normal(0.01, 0.02, shape), -0.1, 0.1)
    pair = [[rng.binomial(count, np.clip(rate - lost, 0, 1)) for count, rate in zip((PIXELS - ones, ones), rates, strict=True)] for lost in (0, worse)]
    return np.stack([_matrices(PIXELS - ones, ones, *right) for right in pair], -3)


def agreeing(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    differ = rng.binomial(PIXELS, np.clip(rng.gamma(0.8, 0.01, shape), 0, 1))
    return np.stack([PIXELS - differ, np.full(shape, PIXELS)], -1)


def overconfident(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Counts (..., 3, 15) of `metrics.calibration`: confidence in the upper third, too high by what the region decides."""
    pixels = PIXELS * rng.dirichlet(np.ones(5), shape)
    sure = np.linspace(0.7, 0.96, 5)
    right = np.clip(sure - rng.normal(0.05, 0.05, (*shape, 1)), 0, 1)
    counts = np.zeros((*shape, 3, 15))
    counts[..., 10:] = np.stack([pixels, pixels * right, pixels * sure], -2)
    return counts


def _share(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts[..., 0] / counts[..., 1])


def _miou(matrices: np.ndarray) -> np.ndarray:
    return mean_over_present(iou_per_class(matrices, None))


SCORES: Mapping[str, tuple[Regions, Statistic, Callable[[list[np.ndarray]], Interval | None]]] = {
    "mIoU, 2 classes": (two_classes, _miou, lambda regions: miou_interval(regions, None)),
    "mIoU, 5 classes": (five_classes, _miou, lambda regions: miou_interval(regions, None)),
    "mIoU drop": (two_models, lambda matrices: drop_of(matrices, None), lambda regions: drop_interval(regions, None)),
    "agreement": (agreeing, _share, lambda regions: interval_over_regions(regions, _share)),
    "calibration error": (overconfident, _error, lambda regions: interval_over_regions(regions, _error, is_share=False)),
}


def score_coverage(runs: int = RUNS) -> list[dict[str, Any]]:
    """Coverage per score and number of regions."""
    return [_score_row(name, count, runs) for name in SCORES for count in REGIONS]


def _score_row(name: str, count: int, runs: int) -> dict[str, Any]:
    drawn, statistic, interval = SCORES[name]
    truth = float(statistic(drawn(np.random.default_rng(99), (200_000,)).sum(axis=0)[None])[0])
    regions = drawn(np.random.default_rng(count), (runs, count))
    ours = [found for one in regions if (found := interval(list(one))) is not None]
    held = sum(one.low <= truth <= one.high for one in ours)
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    plain = [np.nanquantile(statistic(np.tensordot(draws, one, axes=1)), [0.025, 0.975]) for one in regions[: runs // 4]]
    return {
        "score": name,
        "regions": count,
        "coverage": held / len(ours),
        "coverage_interval": _binomial(held, len(ours)),
        "median_width": float(np.median([one.high - one.low for one in ours])),
        "coverage_of_bootstrap_percentiles": float(np.mean([low <= truth <= high for low, high in plain])),
    }


def _rows(kind: str, rule: str, series: list[list[float]]) -> list[dict[str, Any]]:
    flagged = [any(advice.kind == "dependent" for advice in advice_on([Measurement(quantity="latency", samples=tuple(one))])) for one in series]
    facts = {"noise": kind, "rule": rule, "median_calls": float(np.median([len(one) for one in series])), "called_dependent": float(np.mean(flagged))}
    found = {
        name: _coverage([percentile_interval(one, share) for one in series], [_plain(one, share) for one in series], _true(kind, share))
        for name, share in SHARES.items()
    }
    means = [Measurement(quantity="latency", samples=tuple(one)).mean_interval() for one in series]
    found["mean"] = _coverage(means, [_plain_mean(one) for one in series], _true_mean(kind))
    return [{**facts, "statistic": name, **covered} for name, covered in found.items()]


def _coverage(ours: list[Interval | None], plain: list[tuple[float, float]], truth: float) -> dict[str, Any]:
    """Of the intervals that there are, how many hold the truth; the same for those of independent samples; the median of the widths' ratio."""
    hits = [one.low <= truth <= one.high for one in ours if one is not None]
    ratios = [(one.high - one.low) / (high - low) for one, (low, high) in zip(ours, plain, strict=True) if one is not None]
    return {
        "coverage": float(np.mean(hits)),
        "coverage_interval": _binomial(sum(hits), len(hits)),
        "without_interval": 1 - len(hits) / len(ours),
        "coverage_if_taken_for_independent": float(np.mean([low <= truth <= high for low, high in plain])),
        "width_to_independent": float(np.median(ratios)),
    }


def _plain(samples: list[float], share: float) -> tuple[float, float]:
    low, high = interval_ranks(len(samples), share) or (1, len(samples))
    ordered = sorted(samples)
    return ordered[low - 1], ordered[high - 1]


def _plain_mean(samples: list[float]) -> tuple[float, float]:
    middle, reach = np.mean(samples), norm.ppf(0.975) * np.std(samples, ddof=1) / math.sqrt(len(samples))
    return float(middle - reach), float(middle + reach)


def _simulated(durations: Iterator[float], sampling: Sampling) -> list[float]:
    clock = ManualClock()
    return sample(lambda: clock.advance(next(durations)), sampling, clock)


def _binomial(hits: int, runs: int) -> list[float]:
    """Central 95 % range of the count at the seen rate, as shares."""
    return [float(binom.ppf(tail, runs, hits / runs) / runs) for tail in (0.025, 0.975)]
