"""Measured values with their raw samples, and what could not be measured with the reason.

Percentile intervals are distribution-free: they are order statistics whose ranks come from the binomial distribution
(David and Nagaraja, Order Statistics, 3rd ed., section 7.1), so they hold for skewed and multimodal samples. They assume
independent samples; the stability verdict says when that is doubtful.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.core.quantity import quantity
from harness.core.specs import Value

CONFIDENCE = 0.95


class Interval(Value):
    """A confidence interval, in the unit of its quantity."""

    low: float
    high: float
    confidence: float = CONFIDENCE
    method: str


class Measurement(Value):
    """Samples of one quantity in its base unit. Statistics are derived from the samples, never stored alone.

    `bounds` is the interval of a value whose samples do not carry it themselves, for example a bootstrap over regions.
    """

    kind: Literal["measured"] = "measured"
    quantity: str
    samples: tuple[float, ...] = Field(min_length=1)
    warmup: tuple[float, ...] = ()
    bounds: Interval | None = None
    detail: dict[str, Any] = {}

    @field_validator("quantity")
    @classmethod
    def _known(cls, name: str) -> str:
        return quantity(name).name

    @field_validator("samples")
    @classmethod
    def _finite(cls, samples: tuple[float, ...]) -> tuple[float, ...]:
        if not all(map(math.isfinite, samples)):
            raise ValueError("a sample is not finite; record a Missing with the reason")
        return samples

    @model_validator(mode="after")
    def _possible(self) -> Measurement:
        if quantity(self.quantity).unit == "s" and min(self.samples) <= 0:
            raise ValueError(f"a {self.quantity} of {min(self.samples):g} s is impossible")
        return self

    @property
    def value(self) -> float:
        """The median: the figure to quote."""
        return percentile(self.samples, 0.5)

    @property
    def mean(self) -> float:
        return math.fsum(self.samples) / len(self.samples)

    def percentile(self, share: float) -> float:
        return percentile(self.samples, share)

    def interval(self, share: float = 0.5, confidence: float = CONFIDENCE) -> Interval | None:
        """Interval of a percentile; None where too few samples exist (see `samples_needed`)."""
        if self.bounds is not None and share == 0.5:
            return self.bounds
        return percentile_interval(self.samples, share, confidence)


class Missing(Value):
    """A quantity that has no value, and why. `skipped`: not asked for. `unsupported`: can't be had here. `failed`: went wrong."""

    kind: Literal["missing"] = "missing"
    quantity: str
    why: Literal["unsupported", "skipped", "failed"]
    reason: str


Outcome = Annotated[Measurement | Missing, Field(discriminator="kind")]


def percentile(samples: Sequence[float], share: float) -> float:
    """Percentile with linear interpolation between order statistics (Hyndman and Fan type 7, numpy's default)."""
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def percentile_interval(samples: Sequence[float], share: float, confidence: float = CONFIDENCE) -> Interval | None:
    """Two-sided interval of a percentile from order statistics, None where it does not exist for so few samples."""
    ranks = interval_ranks(len(samples), share, confidence)
    if ranks is None:
        return None
    ordered = sorted(samples)
    low, high = ranks
    return Interval(low=ordered[low - 1], high=ordered[high - 1], confidence=confidence, method="order statistics")


def samples_needed(share: float, confidence: float = CONFIDENCE) -> int:
    """The fewest samples for which a two-sided interval of the percentile exists: 6, 36, 72, 368 for p50, p90, p95, p99."""
    tail = (1 - confidence) / 2
    return math.ceil(math.log(tail) / math.log(max(share, 1 - share)))


@functools.lru_cache(maxsize=4096)
def interval_ranks(count: int, share: float, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """One-based ranks (low, high) of the order statistics that bound the percentile, at most (1 - confidence) / 2 in each tail."""
    if count < samples_needed(share, confidence):
        return None
    tail = (1 - confidence) / 2
    below = 0.0
    low = 0
    high = count
    log_share, log_rest, log_count = math.log(share), math.log1p(-share), math.lgamma(count + 1)
    for successes in range(count + 1):
        if below <= tail:
            low = successes  # P(fewer than `successes` samples lie under the percentile) <= tail
        below += math.exp(log_count - math.lgamma(successes + 1) - math.lgamma(count - successes + 1) + successes * log_share + (count - successes) * log_rest)
        if 1 - below <= tail:
            high = successes + 1
            break
    return (low, high) if 1 <= low < high <= count else None
