"""Expected calibration error: is a pixel with confidence 0.8 right in 80 % of cases?

Definition: Guo et al. 2017 (On Calibration of Modern Neural Networks): 15 bins of equal width over the largest softmax score, the mean of
|accuracy - confidence| weighted by the pixels in each bin. A model that was not trained here may end in a softmax of its own; it isn't taken again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from harness.core.measurement import Measurement
from harness.support.confusion import interval_over_regions, ratio

BINS = 15
#: The classes' scores of a pixel that are no less than 0 and add up to 1 within this are probabilities: half precision and 8 bits round them.
ROUNDED = 0.02


class _Accumulator:
    """Per region three rows over the bins: pixels, right pixels, sum of confidence."""

    def __init__(self, ignore_index: int | None) -> None:
        self._ignore = ignore_index
        self._by_region: dict[str, np.ndarray] = {}

    def update(self, logits: np.ndarray, mask: np.ndarray, region: str) -> None:
        kept = np.ones(mask.shape, bool) if self._ignore is None else mask != self._ignore
        scores, truth = logits[:, kept].astype(np.float64), mask[kept]
        confidence = scores.max(0) if are_probabilities(logits) else 1 / np.exp(scores - scores.max(0)).sum(0)
        right = scores.argmax(0) == truth
        place = np.minimum(np.ceil(confidence * BINS).astype(np.int64) - 1, BINS - 1)
        counts = np.stack([np.bincount(place, weights=weights, minlength=BINS) for weights in (None, right, confidence)])
        self._by_region[region] = self._by_region.get(region, 0) + counts

    def result(self) -> Iterable[Measurement]:
        regions = [self._by_region[name] for name in sorted(self._by_region)]
        total = np.sum(regions, axis=0)
        if not np.any(total):
            return
        pixels, right, confidence = total
        rows = zip(pixels, right, confidence, strict=True)
        bins = [{"pixels": int(count), "accuracy": hit / count, "confidence": sure / count} for count, hit, sure in rows if count]
        bounds = interval_over_regions(regions, _error, is_share=False)  # it may be near 0 by chance, where the logit scale has no end
        yield Measurement(quantity="calibration_error", samples=(float(_error(total)),), bounds=bounds, detail={"bins": bins})


def are_probabilities(scores: np.ndarray) -> bool:
    """Whether the scores (K, H, W) are what a softmax gives, at every pixel."""
    return bool(scores.min() >= 0 and np.abs(scores.sum(0, dtype=np.float64) - 1).max() <= ROUNDED)


def _error(counts: np.ndarray) -> np.ndarray:
    """The error (...) of counts (..., 3, BINS)."""
    pixels, right, confidence = counts[..., 0, :], counts[..., 1, :], counts[..., 2, :]
    return ratio(np.abs(right - confidence).sum(-1), pixels.sum(-1))


class Calibration:
    def start(self, classes: Sequence[str], ignore_index: int | None) -> _Accumulator:
        return _Accumulator(ignore_index)


METRIC = Calibration()
