"""Absolute differences of logits over a whole split: the largest, the mean and the 99th percentile, in memory that does not grow with the split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.core.measurement import Measurement

#: Bits of a float32 that a bin drops: what remains is sign, exponent and 7 bits of mantissa, so a bin is at most 1/128 wide relative to its lower edge.
DROPPED = 16
BINS = 1 << (31 - DROPPED)


class LogitErrors:
    """Add logits and those expected of them, both finite and of equal shape."""

    def __init__(self) -> None:
        self._largest = self._sum = self._scale = 0.0
        self._counts = np.zeros(BINS, np.int64)

    def add(self, logits: np.ndarray, expected: np.ndarray) -> None:
        errors = np.abs(logits.astype(np.float32, copy=False) - expected.astype(np.float32, copy=False)).ravel()
        self._largest = max(self._largest, float(errors.max()))
        self._scale = max(self._scale, float(np.abs(expected).max()))
        self._sum += float(errors.sum(dtype=np.float64))
        self._counts += np.bincount(errors.view(np.uint32) >> DROPPED, minlength=BINS)

    def result(self) -> Iterator[Measurement]:
        """One each of max_abs_error, mean_abs_error and p99_abs_error; `largest_logit` is of what was expected."""
        detail = {"logits": int(self._counts.sum()), "largest_logit": self._scale}
        yield Measurement(quantity="max_abs_error", samples=(self._largest,), detail=detail)
        yield Measurement(quantity="mean_abs_error", samples=(self._sum / detail["logits"],), detail=detail)
        yield Measurement(quantity="p99_abs_error", samples=(self.percentile(0.99),), detail=detail)

    def percentile(self, share: float) -> float:
        """The least error that at least `share` of the logits don't exceed, at most 1/128 too large."""
        reached = np.cumsum(self._counts)
        place = int(np.searchsorted(reached, share * reached[-1]))
        if place == 0:
            return 0.0
        edge = np.array([((place + 1) << DROPPED) - 1], np.uint32).view(np.float32)
        return min(float(edge[0]), self._largest)
