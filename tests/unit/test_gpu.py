"""Which of several GPUs CUDA takes, on an NVML made by hand."""

import sys
from types import SimpleNamespace

import pytest

from harness.support.gpu import gpu, visible_gpu


def nvml(*names: str) -> SimpleNamespace:
    """GPUs by name; the handle of one is its index, its UUID "GPU-" and ten letters."""
    return SimpleNamespace(
        nvmlDeviceGetCount=lambda: len(names),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda index: names[index],
        nvmlDeviceGetUUID=lambda index: f"GPU-{'abc'[index] * 10}",
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetCudaComputeCapability=lambda index: (7 + index, 0),
        nvmlDeviceGetMemoryInfo=lambda index: SimpleNamespace(total=(index + 1) * 10**9),
        nvmlInit=lambda: None,
        NVMLError=OSError,
    )


@pytest.mark.parametrize(
    ("visible", "handle"), [(None, 0), ("0", 0), ("2", 2), ("1,0", 1), ("GPU-cccc", 2), ("GPU-bbbbbbbbbb,GPU-aaaaaaaaaa", 1), ("MIG-x", "MIG-x")]
)
def test_the_first_visible_gpu_is_taken(monkeypatch, visible, handle):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpu(nvml("H200", "H200", "H200")) == handle


@pytest.mark.parametrize("visible", ["", "-1", "3", "GPU-d", "GPU-"])
def test_one_that_is_not_there_is_said(monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert "3 GPUs" in visible_gpu(nvml("H200", "H200", "H200"))


def test_different_gpus_are_numbered_by_their_place_only_when_cuda_does_so_too(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in visible_gpu(nvml("T4", "H200"))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert visible_gpu(nvml("T4", "H200")) == 1


def test_a_plan_is_bound_to_the_gpu_that_cuda_takes_and_not_to_the_first_of_the_machine(monkeypatch):
    from harness.support import tensorrt_build

    monkeypatch.setitem(sys.modules, "pynvml", nvml("T4", "H200"))
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="11.4.0"))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpu() == ("H200", "8.0")
    bound = tensorrt_build.bound_to({"hardware_compatible": "none"})
    assert (bound["gpu"], bound["compute_capability"]) == ("H200", "8.0")
    assert tensorrt_build.refusal({**bound}) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "built for H200" in str(tensorrt_build.refusal({**bound}))


def test_why_a_gpu_can_not_be_used_is_told(monkeypatch):
    from harness.support import tensorrt_build

    monkeypatch.setitem(sys.modules, "pynvml", nvml("T4", "H200"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES begins with '-1'" in str(tensorrt_build.no_gpu())
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pip install 'eo-harness[gpu]'" in str(tensorrt_build.no_gpu())


def test_candidates_that_race_together_fit_into_the_memory_of_the_gpu(monkeypatch):
    from harness.tuning.heats import groups, memory_of

    monkeypatch.setitem(sys.modules, "pynvml", nvml("T4", "H200"))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert memory_of("cuda") == 2e9
    entries = [SimpleNamespace(assessed=SimpleNamespace(memory=3e8), candidate=SimpleNamespace(batch=1)) for _ in range(5)]
    assert [len(group) for group in groups(entries[1:], entries[:1], memory_of("cuda"))] == [3, 1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert [len(group) for group in groups(entries[1:], entries[:1], memory_of("cuda"))] == [1, 1, 1, 1]
