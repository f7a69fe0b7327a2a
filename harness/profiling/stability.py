"""Is a series of timings steady enough to be believed, and what to do when it isn't."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

from harness.core.dependence import samples_per_independent
from harness.core.measurement import Measurement, Missing, percentile
from harness.core.record import Advice

NOISY, DRIFTING, SHORT = 0.10, 0.10, 1e-3
#: A correlation of ranks from call to call above this widens intervals so much that it is said.
DEPENDENT = 0.2


def advice_on(outcomes: Iterable[Measurement | Missing]) -> tuple[Advice, ...]:
    """Warnings about the latency samples and about counters that disagree."""
    warnings: list[Advice] = []
    for outcome in outcomes:
        if isinstance(outcome, Measurement) and outcome.quantity == "latency":
            warnings.extend(_about_latency(outcome.samples))
        if isinstance(outcome, Measurement) and outcome.detail.get("agree") is False:
            counters = ", ".join(f"{name} {value / 1e9:.3f} GFLOP" for name, value in outcome.detail["counters"].items())
            warnings.append(Advice(kind="counters", message=f"FLOP counters disagree: {counters}", advice="report both, and see docs/flops.md"))
    return tuple(warnings)


def rank_correlation(samples: Sequence[float]) -> float:
    """Spearman's correlation of each call with the next one; 0 for calls that are all alike."""
    order = {value: rank for rank, value in enumerate(sorted(set(samples)))}
    ranks = [order[value] for value in samples]
    mean = math.fsum(ranks) / len(ranks)
    spread = math.fsum((rank - mean) ** 2 for rank in ranks)
    together = math.fsum((one - mean) * (other - mean) for one, other in itertools.pairwise(ranks))
    return together / spread if spread else 0.0


def _about_latency(samples: tuple[float, ...]) -> Iterable[Advice]:
    middle = percentile(samples, 0.5)
    spread = (percentile(samples, 0.75) - percentile(samples, 0.25)) / middle
    half = len(samples) // 2
    drift = percentile(samples[half:], 0.5) / percentile(samples[:half], 0.5) - 1
    if abs(drift) >= DRIFTING:
        yield Advice(
            kind="drifting",
            message=f"the second half of the calls is {drift:+.0%} against the first",
            advice="let the machine cool down or settle, and raise sampling.warmup_seconds",
        )
    if spread >= NOISY:
        yield Advice(
            kind="noisy",
            message=f"the middle half of the calls spreads over {spread:.0%} of the median",
            advice="stop other programs, use fewer threads than cores, or raise sampling.max_seconds",
        )
    memory = rank_correlation(samples)
    if memory >= DEPENDENT and memory > 3 / math.sqrt(len(samples)):
        worth = len(samples) / samples_per_independent(samples, sorted(samples), 0.5)
        yield Advice(
            kind="dependent",
            message=f"a call resembles the one before it (rank correlation {memory:.2f}): {len(samples)} calls tell no more of the median than "
            f"{worth:.0f} independent ones, and the intervals are as wide as that asks",
            advice="let the machine settle, raise sampling.min_seconds, or repeat the run on another day",
        )
    if middle < SHORT:
        yield Advice(
            kind="short", message=f"a call takes {middle * 1e6:.0f} us, little against the clock's and the loop's own cost", advice="use a larger batch"
        )
