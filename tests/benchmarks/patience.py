"""Seconds until the median is known within 2 %, against a fixed 10 warm-up and 100 timed calls, whatever they give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.deployment import Sampling
from harness.support.clock import wall_clock
from harness.support.sampling import halfwidth, sample, timed, warm_up
from tests.benchmarks.overhead import open_session

MODELS = (("mobilenetv3_small_100", 128), ("resnet18", 224), ("resnet50", 224))
RULE = Sampling()
ROUNDS = 3


def measure(folder: Path) -> dict[str, Any]:
    """Per model and round both ways in turns: seconds, calls and the half width of the median's 95 % interval that they reached."""
    return {"target_halfwidth": RULE.target_halfwidth, "rows": [_row(folder / f"{name}.onnx", name, side) for name, side in MODELS]}


def _row(path: Path, name: str, side: int) -> dict[str, Any]:
    session = open_session(path, name, side)
    image = np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32)

    def call() -> None:
        session.run(None, {"x": image})

    rounds = [{"adaptive": _said(lambda: _adaptive(call)), "fixed": _said(lambda: _fixed(call))} for _ in range(ROUNDS)]
    return {"model": name, "rounds": rounds}


def _adaptive(call: Callable[[], None]) -> list[float]:
    warm_up(call, RULE, wall_clock)
    return sample(call, RULE, wall_clock)


def _fixed(call: Callable[[], None]) -> list[float]:
    for _ in range(10):
        call()
    return [timed(call, wall_clock) for _ in range(100)]


def _said(way: Callable[[], list[float]]) -> dict[str, float]:
    begin = wall_clock()
    samples = way()
    return {"seconds": wall_clock() - begin, "calls": len(samples), "halfwidth": halfwidth(samples), "median_ms": 1e3 * float(np.median(samples))}
