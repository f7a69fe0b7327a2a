"""Is a series of timings steady enough to be believed, and what to do when it isn't."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.measurement import Measurement, Missing, percentile
from harness.core.record import Advice

NOISY, DRIFTING, OUTLIER, SHORT = 0.10, 0.10, 2.0, 1e-3


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
    if middle < SHORT:
        yield Advice(
            kind="short", message=f"a call takes {middle * 1e6:.0f} us, little against the clock's and the loop's own cost", advice="use a larger batch"
        )
