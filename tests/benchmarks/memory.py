"""Peak memory against a known allocation: a graph that fills a tensor of known size, in each runtime, against the same graph with a small one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import helper
from torch import nn

from harness.core.deployment import DeploymentProfile, Runtime, Sampling
from harness.profiling.job import Job
from harness.profiling.run import record_of
from harness.support.foreign import Wishes, foreign
from tests.foreign_models import info, write

PLANTED, SMALL = 256 * 2**20, 2**20
ROUNDS = 3
TARGET = 0.05


class Filled(nn.Module):
    """The input's mean, through a tensor of `size` bytes that is written in full."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.length = size // 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.reshape(-1)[:1].expand(self.length) + 1.0).sum().reshape(1, 1)


def as_onnx(path: Path, size: int) -> Path:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
        helper.make_node("Expand", ["m", "shape"], ["filled"]),
        helper.make_node("ReduceSum", ["filled"], ["s"], keepdims=0),
        helper.make_node("Reshape", ["s", "one"], ["y"]),
    ]
    tensors = {"shape": np.array([size // 4], np.int64), "one": np.array([1, 1], np.int64)}
    return write(path, nodes, [info("x", [1, 3, 8, 8])], [info("y", [1, 1])], tensors)


def as_program(path: Path, size: int) -> Path:
    torch.export.save(torch.export.export(Filled(size).eval(), (torch.zeros(1, 3, 8, 8),)), path)
    return path


CASES = (
    ("onnxruntime without arena", "onnxruntime", {"arena": False}, "m.onnx", as_onnx),
    ("onnxruntime as deployed", "onnxruntime", {}, "m.onnx", as_onnx),
    ("torch_export", "torch_export", {}, "m.pt2", as_program),
)


def measure(folder: Path) -> dict[str, Any]:
    """Per runtime the difference of the two peaks over what was planted.

    ONNX Runtime runs without its arena, which keeps what it planned in one run beside what it allocated in the first, so that twice the tensor is
    truly resident; the row with the arena says so.
    """
    return {"rows": [_row(folder, *case) for case in CASES], "target": TARGET}


def _row(folder: Path, label: str, backend: str, options: dict[str, Any], name: str, make: Any) -> dict[str, Any]:
    ratios = []
    for number in range(ROUNDS):
        large, small = (_peak(folder / f"{label}-{size}-{number}", backend, options, name, make, size) for size in (PLANTED, SMALL))
        ratios.append((large - small) / (PLANTED - SMALL))
    return {"runtime": label, "planted_bytes": PLANTED - SMALL, "seen_over_planted": ratios, "largest_error": max(abs(ratio - 1) for ratio in ratios)}


def _peak(folder: Path, backend: str, options: dict[str, Any], name: str, make: Any, size: int) -> float:
    folder.mkdir()
    artifact = foreign(make(folder / name, size), Wishes({})).artifact
    profile = DeploymentProfile(schema=1, name="memory", purpose="benchmark", sampling=Sampling(), probes=("memory",), runtime=Runtime(options=options))
    job = Job(folder=folder, artifact=artifact, backend=backend, device="cpu", threads=1, profile=profile, dataset=None, data_root=None, work=folder / "work")
    measured = record_of(job, artifact).measured("peak_host_memory")
    if measured is None:
        raise RuntimeError(f"{backend} gave no peak memory: {record_of(job, artifact).outcome('peak_host_memory')}")
    return measured.value
