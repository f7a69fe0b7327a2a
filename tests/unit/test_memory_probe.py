"""The memory probe on a model of known sizes, and on a device that counts or whose driver does."""

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper

from harness.core.deployment import Runtime
from harness.core.measurement import Measurement, Missing
from harness.core.ports import Opening
from harness.probes.memory import DEVICE, HOST, PROBE, RUNS
from harness.profiling.job import Job
from harness.profiling.run import record_of
from harness.support.foreign import Wishes, foreign
from tests.builders import profile
from tests.foreign_models import info, write

WEIGHTS, FILLED = 96 * 2**20, 160 * 2**20


class Counting:
    """A session of a device with a counter of its own."""

    def __init__(self) -> None:
        self.peak = self.runs = 0

    def bind(self, inputs) -> None:
        self.peak = max(self.peak, 900)

    def run(self) -> None:
        self.runs += 1
        self.peak = max(self.peak, 700)

    def sync(self) -> None:
        return

    def reset_device_peak(self) -> None:
        self.peak = 0

    def device_peak(self):
        return self.peak, {"source": "its own"}


def subject(session, device="cuda"):
    used = profile(probes=("memory",), runtime=Runtime(device=device))
    example = [np.zeros((2, 3, 4, 4), np.float32)]
    return SimpleNamespace(session=session, profile=used, opening=Opening(1.0, 10, 20, 15), example=lambda: example, first_call_seconds=0.1)


def device_memory(session, device="cuda"):
    return {outcome.quantity: outcome for outcome in PROBE.measure(subject(session, device))}[DEVICE]


def as_onnx(path, *, table: int, filled: int):
    """Some values of a table of `table` bytes, which the input chooses, and the sum over a tensor of `filled` bytes that every call fills."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
        helper.make_node("Expand", ["m", "shape"], ["filled"]),
        helper.make_node("ReduceSum", ["filled"], ["s"], keepdims=0),
        helper.make_node("ArgMax", ["x"], ["chosen"], axis=3, keepdims=0),
        helper.make_node("Gather", ["table", "chosen"], ["found"]),
        helper.make_node("ReduceSum", ["found"], ["w"], keepdims=0),
        helper.make_node("Add", ["s", "w"], ["t"]),
        helper.make_node("Reshape", ["t", "one"], ["y"]),
    ]
    tensors = {"shape": np.array([filled // 4], np.int64), "one": np.array([1, 1], np.int64)}
    values = np.random.default_rng(0).normal(size=table // 4).astype(np.float32)
    return write(path, nodes, [info("x", [1, 3, 8, 8])], [info("y", [1, 1])], {**tensors, "table": values})


def measured(folder, **sizes: int) -> dict[str, float]:
    folder.mkdir()
    artifact = foreign(as_onnx(folder / "m.onnx", **sizes), Wishes({})).artifact
    used = profile(probes=("memory",), runtime=Runtime(backend="onnxruntime", options={"arena": False}))
    job = Job(folder=folder, artifact=artifact, backend="onnxruntime", device="cpu", threads=1, profile=used, dataset=None, data_root=None, work=folder / "w")
    done = record_of(job, artifact)
    assert "CPU" in done.outcome(DEVICE).reason
    return {name: done.measured(name).value for name in HOST}


def test_weights_and_activations_are_told_apart(tmp_path):
    large, small = measured(tmp_path / "large", table=WEIGHTS, filled=FILLED), measured(tmp_path / "small", table=64, filled=4)
    assert large["weight_memory"] - small["weight_memory"] == pytest.approx(WEIGHTS, rel=0.05)
    assert large["activation_memory"] - small["activation_memory"] == pytest.approx(FILLED, rel=0.05)
    assert large["peak_host_memory"] == large["import_memory"] + large["weight_memory"] + large["activation_memory"]
    assert large["load_memory"] >= large["import_memory"] + large["weight_memory"]
    assert large["library_memory"] == pytest.approx(small["library_memory"], abs=2e6)


def test_a_device_that_counts_is_asked_for_its_peak_while_running():
    session = Counting()
    found = device_memory(session)
    assert isinstance(found, Measurement)
    assert (found.value, found.detail["source"], found.detail["batch"], session.runs) == (900.0, "its own", 2, RUNS)


def test_on_a_cpu_the_devices_counter_is_not_asked():
    assert isinstance(device_memory(Counting(), "cpu"), Missing)


class Plain(Counting):
    """A runtime without a counter: `hasattr` finds none."""

    reset_device_peak = property()
    device_peak = property()


def nvml(*processes):
    return SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda index: "GPU",
        nvmlDeviceGetComputeRunningProcesses=lambda gpu: [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in processes],
    )


@pytest.mark.parametrize(
    ("processes", "seen"),
    [(((os.getpid(), 5e8), (1, 9e9)), 5e8), (((1, 9e9),), "does not see this process among 1"), (((os.getpid(), None),), "no memory per process")],
)
def test_without_a_counter_the_driver_is_asked(monkeypatch, processes, seen):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(*processes))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = device_memory(Plain())
    if isinstance(seen, str):
        assert seen in found.reason
    else:
        assert found.value == seen
        assert "NVML" in found.detail["source"]


def test_without_a_driver_the_reason_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pip install" in device_memory(Plain()).reason
