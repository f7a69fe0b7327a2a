"""Integer confusion matrices and the figures derived from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from harness.core.measurement import CONFIDENCE, Interval

RESAMPLES = 2000


def confusion(predicted: np.ndarray, truth: np.ndarray, classes: int, ignore_index: int | None) -> np.ndarray:
    """Counts (truth, predicted) as int64 (classes, classes): exact for any number of pixels. `ignore_index` pixels are left out."""
    kept = np.ones(truth.shape, bool) if ignore_index is None else truth != ignore_index
    pairs = truth[kept].astype(np.int64) * classes + predicted[kept].astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def iou_per_class(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union (..., classes) of matrices (..., classes, classes); NaN for a class in neither truth nor prediction."""
    hit = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    union = matrix.sum(-1) + matrix.sum(-2) - hit
    return ratio(hit, union)


def f1_per_class(matrix: np.ndarray) -> np.ndarray:
    """F1 (..., classes), NaN for a class in neither truth nor prediction."""
    hit = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    total = matrix.sum(-1) + matrix.sum(-2)
    return ratio(2 * hit, total)


def mean_over_present(per_class: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN; NaN where all are."""
    present = ~np.isnan(per_class)
    count = present.sum(-1)
    total = np.where(present, per_class, 0.0).sum(-1)
    return ratio(total, count)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part` / `whole`, NaN where `whole` is 0."""
    out: np.ndarray = np.full(part.shape, np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def miou(matrix: np.ndarray) -> float:
    """Mean IoU over the classes present in truth or prediction, exact to the last bit; NaN where none is."""
    hits = np.diagonal(matrix)
    unions = matrix.sum(0) + matrix.sum(1) - hits
    shares = [Fraction(int(hit), int(union)) for hit, union in zip(hits, unions, strict=True) if union]
    return float(sum(shares, Fraction(0)) / len(shares)) if shares else math.nan


def macro_f1(matrix: np.ndarray) -> float:
    """Mean F1 over the classes present in truth or prediction."""
    return float(mean_over_present(f1_per_class(matrix)))


def pixel_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of pixels on the diagonal (...) of matrices (..., classes, classes); NaN without a pixel."""
    return ratio(np.trace(matrix, axis1=-2, axis2=-1).astype(np.float64), matrix.sum((-2, -1)))


def bootstrap_miou(by_region: Sequence[np.ndarray], seed: int = 0) -> Interval | None:
    """The interval of mIoU over confusion matrices per region; see `bootstrap`."""
    return bootstrap(by_region, lambda matrices: mean_over_present(iou_per_class(matrices)), seed)


def bootstrap(by_region: Sequence[np.ndarray], statistic: Callable[[np.ndarray], np.ndarray], seed: int = 0) -> Interval | None:
    """Percentile bootstrap interval that resamples whole regions (Davison and Hinkley 1997, section 3.8).

    `by_region` holds counts of equal shape that add up; `statistic` maps sums (draws, *shape) to values (draws,). None for fewer than
    3 regions: nothing to resample.
    """
    if len(by_region) < 3:
        return None
    counts = np.stack(by_region)
    draws = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=RESAMPLES)
    values = statistic(np.tensordot(draws, counts, axes=1))
    low, high = np.nanquantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(low=float(low), high=float(high), method=f"bootstrap over {len(counts)} regions, {RESAMPLES} resamples")


def named(classes: Sequence[str], values: np.ndarray) -> Mapping[str, float | None]:
    """Values by class name, None for NaN."""
    return {name: None if np.isnan(value) else float(value) for name, value in zip(classes, values, strict=True)}
