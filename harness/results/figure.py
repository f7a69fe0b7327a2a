"""One entry of a table: a Figure (value with interval, base unit) or an Absent with its reason.

Source of the ratio's interval: each median's order-statistic interval is taken at 97.5 %, so by Bonferroni both hold together with
at least 95 %, and then low/high over high/low bound the ratio. It is conservative and needs no resampling.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from harness.core.measurement import CONFIDENCE, Measurement, Missing

EXACT = frozenset({"forward_flops", "encoder_flops", "graph_flops", "parameters", "artifact_size"})


#: Memory is one figure per process, which another process repeats within this share; `harness check` allows as much.
REPEATS = dict.fromkeys(("import_memory", "load_memory", "weight_memory", "peak_host_memory", "activation_memory", "peak_device_memory"), 0.05)


class Figure(NamedTuple):
    """A value in its base unit. `low` and `high` None: it has no interval. Counted values have low = high = value.

    `repeats`: values without an interval that lie further apart than this share of their mean are told apart all the same; None: never.
    """

    value: float
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    method: str = ""
    repeats: float | None = None

    @property
    def is_exact(self) -> bool:
        return self.method == "exact"

    @property
    def is_bounded(self) -> bool:
        return self.low is not None and self.high is not None

    @property
    def reach(self) -> tuple[float, float]:
        """The interval, stretched to hold the value; infinite where the uncertainty is unknown, so that it separates from nothing."""
        if self.low is None or self.high is None:
            return (-math.inf, math.inf) if self.repeats is None else (self.value * (1 - self.repeats / 2), self.value * (1 + self.repeats / 2))
        return min(self.low, self.value), max(self.high, self.value)


class Absent(NamedTuple):
    """No value. `why` is unsupported, skipped, failed or samples; `shown` is what a table's cell says."""

    why: str
    reason: str
    shown: str = "-"


Entry = Figure | Absent


def exact(value: float) -> Figure:
    """A counted value."""
    return Figure(value, value, value, 1.0, "exact")


def figure_from_outcome(outcome: Measurement | Missing) -> Entry:
    """The median with its interval."""
    if isinstance(outcome, Missing):
        return Absent(outcome.why, outcome.reason)
    if outcome.bounds is None and (len(outcome.samples) == 1 or (outcome.quantity in EXACT and len(set(outcome.samples)) == 1)):
        value = outcome.samples[0]
        return exact(value) if outcome.quantity in EXACT else Figure(value, repeats=REPEATS.get(outcome.quantity))
    interval = outcome.interval()
    if interval is None:
        return Figure(outcome.value, repeats=REPEATS.get(outcome.quantity))
    return Figure(outcome.value, interval.low, interval.high, interval.confidence, interval.method)


def tail_from_outcome(outcome: Measurement | Missing, share: float) -> Entry:
    """A percentile of the tail, only where its two-sided interval exists; otherwise how many samples it needs, as dependent as these are."""
    if isinstance(outcome, Missing):
        return Absent(outcome.why, outcome.reason)
    interval = outcome.interval(share)
    if interval is None:
        needs = f"needs {outcome.needed(share)} samples"
        return Absent("samples", f"{needs}, has {len(outcome.samples)}", needs)
    return Figure(outcome.percentile(share), interval.low, interval.high, interval.confidence, interval.method)


def ratio_of_medians(above: Measurement, below: Measurement) -> Figure:
    """`above` over `below`, medians of positive samples, with the interval of the module's docstring."""
    value = above.value / below.value
    each = 1 - (1 - CONFIDENCE) / 2
    top, bottom = above.interval(0.5, each), below.interval(0.5, each)
    if top is None or bottom is None or bottom.low <= 0:
        return Figure(value)
    return Figure(value, top.low / bottom.high, top.high / bottom.low, CONFIDENCE, "two order-statistic intervals at 97.5 %, combined")


def scaled(entry: Entry, factor: float) -> Entry:
    """An entry times a positive number."""
    if isinstance(entry, Absent):
        return entry
    low, high = (None, None) if entry.low is None or entry.high is None else (entry.low * factor, entry.high * factor)
    return Figure(entry.value * factor, low, high, entry.confidence, entry.method)


def inverse(entry: Entry, numerator: float) -> Entry:
    """`numerator` over a positive entry; the interval's ends change places."""
    if isinstance(entry, Absent):
        return entry
    low, high = (None, None) if not entry.low or not entry.high else (numerator / entry.high, numerator / entry.low)
    return Figure(numerator / entry.value, low, high, entry.confidence, entry.method)
