"""Our latency against a bare loop over the same ONNX Runtime session, in alternation (ABBA), so that the machine's drift cancels."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch

from harness.backends.onnxruntime import OnnxRuntimeSession
from harness.support.clock import wall_clock
from harness.support.sampling import timed

#: A fast model and a slow one: name, input side, rounds, calls per round.
MODELS = (("mobilenetv3_small_100", 224, 40, 20), ("vit_base_patch16_224", 224, 20, 2))
RESAMPLES = 2000


def measure(folder: Path) -> dict[str, Any]:
    """Median over rounds of the ratio ours / bare, with a bootstrap interval over rounds, and our own cost per call."""
    return {"rows": [_compare(folder, *model) for model in MODELS], "own_cost_per_call_us": _own_cost()}


def _compare(folder: Path, name: str, side: int, rounds: int, calls: int) -> dict[str, Any]:
    session = open_session(folder / f"{name}.onnx", name, side)
    image = np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32)
    ours = OnnxRuntimeSession(session, "cpu")
    ours.bind([image])
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(image))
    binding.bind_output(session.get_outputs()[0].name, "cpu")

    def with_harness() -> float:
        def call() -> None:
            ours.run()
            ours.sync()

        return statistics.median(timed(call, wall_clock) for _ in range(calls))

    def bare() -> float:
        seconds = []
        for _ in range(calls):
            begin = time.perf_counter()
            session.run_with_iobinding(binding)
            seconds.append(time.perf_counter() - begin)
        return statistics.median(seconds)

    for _ in range(2):
        with_harness(), bare()
    pairs = [(with_harness(), bare()) if index % 2 == 0 else (bare(), with_harness())[::-1] for index in range(rounds)]
    ratios = np.array([mine / other for mine, other in pairs])
    draws = np.random.default_rng(0).choice(ratios, (RESAMPLES, rounds))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return {
        "model": name,
        "bare_median_ms": 1e3 * statistics.median(other for _, other in pairs),
        "ratio": float(np.median(ratios)),
        "ratio_interval": [float(low), float(high)],
        "rounds": rounds,
        "calls_per_round": calls,
    }


def open_session(path: Path, name: str, side: int) -> onnxruntime.InferenceSession:
    network = timm.create_model(name, pretrained=False).eval()
    torch.onnx.export(network, (torch.zeros(1, 3, side, side),), path, dynamo=True, opset_version=20, input_names=["x"], verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _own_cost() -> float:
    """Microseconds that timing an empty call adds."""
    samples = [timed(lambda: None, wall_clock) for _ in range(20_000)]
    return 1e6 * statistics.median(samples)
