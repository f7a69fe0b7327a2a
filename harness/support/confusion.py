"""Integer confusion matrices and the figures derived from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from harness.core.means import student
from harness.core.measurement import CONFIDENCE, Interval

FEWEST_REGIONS = 3


def confusion(predicted: np.ndarray, truth: np.ndarray, classes: int, ignore_index: int | None) -> np.ndarray:
    """Counts (truth, predicted) as int64 (classes, classes): exact for any number of pixels. `ignore_index` pixels are left out.

    Where `ignore_index` is itself a class, deciding it is a miss of the true class. It has no score of its own, since no pixel could be a hit:
    pass it to what computes scores. torchmetrics leaves it out of mIoU too; its macro F1 counts it as 0.
    """
    kept = np.ones(truth.shape, bool) if ignore_index is None else truth != ignore_index
    pairs = truth[kept].astype(np.int64) * classes + predicted[kept].astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def iou_per_class(matrix: np.ndarray, ignore_index: int | None) -> np.ndarray:
    """Intersection over union (..., classes) of matrices (..., classes, classes); NaN for the ignored class and one in neither truth nor prediction."""
    hit = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    union = matrix.sum(-1) + matrix.sum(-2) - hit
    return _without(ignore_index, ratio(hit, union))


def f1_per_class(matrix: np.ndarray, ignore_index: int | None) -> np.ndarray:
    """F1 (..., classes), NaN for the ignored class and one in neither truth nor prediction."""
    hit = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    total = matrix.sum(-1) + matrix.sum(-2)
    return _without(ignore_index, ratio(2 * hit, total))


def _without(ignore_index: int | None, per_class: np.ndarray) -> np.ndarray:
    if ignore_index is not None and 0 <= ignore_index < per_class.shape[-1]:
        per_class[..., ignore_index] = np.nan
    return per_class


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


def miou(matrix: np.ndarray, ignore_index: int | None) -> float:
    """Mean IoU over the classes present in truth or prediction but the ignored one, exact to the last bit; NaN where none is."""
    hits = np.diagonal(matrix)
    unions = matrix.sum(0) + matrix.sum(1) - hits
    shares = [Fraction(int(hit), int(union)) for index, (hit, union) in enumerate(zip(hits, unions, strict=True)) if union and index != ignore_index]
    return float(sum(shares, Fraction(0)) / len(shares)) if shares else math.nan


def macro_f1(matrix: np.ndarray, ignore_index: int | None) -> np.ndarray:
    """Mean F1 (...) of matrices (..., classes, classes) over the classes present in truth or prediction but the ignored one."""
    return mean_over_present(f1_per_class(matrix, ignore_index))


def pixel_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of pixels on the diagonal (...) of matrices (..., classes, classes); NaN without a pixel."""
    return ratio(np.trace(matrix, axis1=-2, axis2=-1).astype(np.float64), matrix.sum((-2, -1)))


def drop_of(matrices: np.ndarray, ignore_index: int | None) -> np.ndarray:
    """By how much mIoU is lower (draws,) in the second of two confusion matrices (draws, 2, classes, classes)."""
    scores = mean_over_present(iou_per_class(matrices, ignore_index))
    drop: np.ndarray = scores[:, 0] - scores[:, 1]
    return drop


def miou_interval(by_region: Sequence[np.ndarray], ignore_index: int | None) -> Interval | None:
    """The interval of mIoU over confusion matrices per region; see `interval_over_regions`."""
    return interval_over_regions(by_region, lambda matrices: mean_over_present(iou_per_class(matrices, ignore_index)))


def drop_interval(by_region: Sequence[np.ndarray], ignore_index: int | None) -> Interval | None:
    """The interval of `drop_of` over pairs of matrices per region: what makes a region hard is in both and cancels."""
    return interval_over_regions(by_region, lambda matrices: drop_of(matrices, ignore_index), is_share=False, least=-1.0)


def interval_over_regions(
    by_region: Sequence[np.ndarray], statistic: Callable[[np.ndarray], np.ndarray], *, is_share: bool = True, least: float = 0.0
) -> Interval | None:
    """Interval of `statistic` of all regions together, from what it is without each of them: a region is the unit, not a pixel or a tile.

    `by_region` holds counts of equal shape that add up, one without any is no region; `statistic` maps sums (n, *shape) to values (n,) from
    `least` to 1. None for fewer than 3 regions.

    The delete-one jackknife's standard error (Efron and Stein 1981; Davison and Hinkley 1997, section 2.7.3, about the mean) times Student's t
    with n - 1 degrees of freedom, since few regions tell little of how regions differ; a share is taken on the logit scale by the delta
    method, which keeps its bounds within 0 and 1. In simulations of five scores over 3 to 40 regions it holds the truth in 92 to 96 % of runs,
    where percentiles of a bootstrap hold it in 59 to 79 % for 3 regions and in 82 to 90 % for 8 (`tests/benchmarks/coverage.py`).
    """
    held = [one for one in by_region if np.any(one)]
    regions = len(held)
    if regions < FEWEST_REGIONS:
        return None
    counts = np.stack(held)
    total = counts.sum(axis=0)
    estimate, without = float(statistic(total[None])[0]), statistic(total - counts)
    error = math.sqrt((regions - 1) / regions * float(((without - without.mean()) ** 2).sum()))
    reach = student(regions - 1, CONFIDENCE) * error
    low, high = _on_logits(estimate, reach) if is_share and 0 < estimate < 1 else (estimate - reach, estimate + reach)
    method = f"jackknife over {regions} regions, Student's t"
    return Interval(low=min(max(least, low), estimate), high=max(min(1.0, high), estimate), method=method)


def _on_logits(share: float, reach: float) -> tuple[float, float]:
    """share -+ reach, laid off on the scale of log(share / (1 - share)), whose slope is 1 / (share * (1 - share))."""
    middle, away = math.log(share / (1 - share)), reach / (share * (1 - share))
    return 0.5 + 0.5 * math.tanh((middle - away) / 2), 0.5 + 0.5 * math.tanh((middle + away) / 2)


def named(classes: Sequence[str], values: np.ndarray) -> Mapping[str, float | None]:
    """Values by class name, None for NaN."""
    return {name: None if np.isnan(value) else float(value) for name, value in zip(classes, values, strict=True)}
