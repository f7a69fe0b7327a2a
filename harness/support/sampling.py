"""When a call is warm, and when it has been timed often enough."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.deployment import Sampling
from harness.core.measurement import percentile, percentile_interval
from harness.core.ports import Clock

#: Warm when the medians of this many last windows of WINDOW calls agree within STEADY.
WINDOWS, WINDOW, STEADY = 3, 5, 0.10


def timed(call: Callable[[], None], clock: Clock) -> float:
    """Seconds of one call."""
    begin = clock()
    call()
    return clock() - begin


def warm_up(call: Callable[[], None], sampling: Sampling, clock: Clock, before: Callable[[], None] | None = None) -> list[float]:
    """Call until warm: the profile's least calls and seconds, and the last windows' medians within 10 %; capped in seconds."""
    samples: list[float] = []
    begin = clock()
    while True:
        if before is not None:
            before()
        samples.append(timed(call, clock))
        elapsed = clock() - begin
        enough = len(samples) >= sampling.warmup_runs and elapsed >= sampling.warmup_seconds
        if (enough and is_steady(samples)) or elapsed >= sampling.warmup_max_seconds:
            return samples


def is_steady(samples: list[float]) -> bool:
    """Whether the medians of the last windows agree; windows shrink for calls so slow that few were made."""
    window = min(WINDOW, len(samples) // WINDOWS)
    if window == 0:
        return False
    medians = [percentile(samples[len(samples) - (index + 1) * window :][:window], 0.5) for index in range(WINDOWS)]
    return max(medians) <= (1 + STEADY) * min(medians)


def sample(call: Callable[[], None], sampling: Sampling, clock: Clock, before: Callable[[], None] | None = None) -> list[float]:
    """Time calls until the median's 95 % interval is narrow enough, or the profile's seconds are spent. Every sample is kept.

    Calls that resemble the ones before them are worth fewer (`core.dependence`), so more are made.

    `before` runs ahead of each call, outside the timed region.
    """
    samples: list[float] = []
    begin = clock()
    look_at = sampling.min_runs
    while True:
        if before is not None:
            before()
        samples.append(timed(call, clock))
        elapsed = clock() - begin
        if elapsed >= sampling.max_seconds and len(samples) >= min(sampling.min_runs, 6):
            return samples
        if len(samples) < look_at or elapsed < sampling.min_seconds:
            continue
        if halfwidth(samples) <= sampling.target_halfwidth:
            return samples
        look_at = len(samples) + max(1, len(samples) // 10)  # looking at every sample would sort them all each time


def halfwidth(samples: list[float]) -> float:
    """Half the width of the median's interval over the median; infinite where there is no interval."""
    interval = percentile_interval(samples, 0.5)
    middle = percentile(samples, 0.5)
    return (interval.high - interval.low) / 2 / middle if interval and middle else float("inf")
