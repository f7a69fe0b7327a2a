"""Seconds until the median is known within 2 %, against a fixed 10 warm-up and 100 timed calls, whatever they give.

A narrow interval is worth nothing where it is wrong, so beside each stands whether it holds the median of the whole series of rounds: the
middle of the rounds' medians, each way for itself. And since both ways make the same calls, the adaptive one also says after how many
seconds it was as sure as the fixed one of its round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.deployment import Sampling
from harness.core.measurement import percentile_interval
from harness.support.clock import wall_clock
from harness.support.sampling import halfwidth, sample, timed, warm_up
from tests.benchmarks.overhead import open_session

MODELS = (("mobilenetv3_small_100", 128), ("resnet18", 224), ("resnet50", 224))
RULE = Sampling()
ROUNDS = 6


def measure(folder: Path) -> dict[str, Any]:
    """Per model and round both ways in turns: seconds, calls and the half width of the median's 95 % interval that they reached."""
    return {"target_halfwidth": RULE.target_halfwidth, "rows": [_row(folder / f"{name}.onnx", name, side) for name, side in MODELS]}


def _row(path: Path, name: str, side: int) -> dict[str, Any]:
    session = open_session(path, name, side)
    image = np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32)

    def call() -> None:
        session.run(None, {"x": image})

    rounds = []
    for number in range(ROUNDS):
        order = ("adaptive", "fixed") if number % 2 else ("fixed", "adaptive")
        ways = {way: _said(way, call) for way in order}
        ways["adaptive"]["seconds_to_the_fixed_ones_width"] = _until(ways["adaptive"], ways["fixed"]["halfwidth"])
        rounds.append(ways)
    return {
        "model": name,
        **{way: _summary([one[way] for one in rounds]) for way in ("adaptive", "fixed")},
        "rounds": [_without_samples(one) for one in rounds],
    }


def _said(way: str, call: Callable[[], None]) -> dict[str, Any]:
    begin = wall_clock()
    if way == "adaptive":
        warm_up(call, RULE, wall_clock)
        warm = wall_clock() - begin
        samples = sample(call, RULE, wall_clock)
    else:
        for _ in range(10):
            call()
        warm = wall_clock() - begin
        samples = [timed(call, wall_clock) for _ in range(100)]
    seconds, interval = wall_clock() - begin, percentile_interval(samples, 0.5)
    return {
        "seconds": seconds,
        "warmup_seconds": warm,
        "calls": len(samples),
        "halfwidth": halfwidth(samples),
        "median_ms": 1e3 * statistics.median(samples),
        "interval_ms": [1e3 * interval.low, 1e3 * interval.high] if interval else None,
        "samples": samples,
    }


def _until(adaptive: dict[str, Any], width: float) -> float | None:
    """Seconds, warm-up included, after which the interval was as narrow as `width`; None where it never was."""
    samples = adaptive["samples"]
    steps = np.unique(np.geomspace(6, len(samples), 100).astype(int))
    enough = next((count for count in steps if halfwidth(samples[:count]) <= width), None)
    return None if enough is None else adaptive["warmup_seconds"] + sum(samples[:enough])


def _summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    medians = [one["median_ms"] for one in rounds]
    middle, known = statistics.median(medians), [one["interval_ms"] for one in rounds if one["interval_ms"]]
    return {
        "seconds": statistics.median(one["seconds"] for one in rounds),
        "halfwidth": statistics.median(one["halfwidth"] for one in rounds),
        "spread_of_medians": (max(medians) - min(medians)) / middle,
        "intervals_that_hold_the_middle": f"{sum(low <= middle <= high for low, high in known)} of {len(rounds)}",
    }


def _without_samples(ways: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {way: {name: value for name, value in said.items() if name != "samples"} for way, said in ways.items()}
