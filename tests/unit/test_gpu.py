"""Which of several GPUs CUDA takes, on an NVML made by hand."""

from types import SimpleNamespace

import pytest

from harness.support.gpu import visible_gpu


def nvml(*names: str) -> SimpleNamespace:
    """GPUs by name; the handle of one is its index, its UUID "GPU-" and ten letters."""
    return SimpleNamespace(
        nvmlDeviceGetCount=lambda: len(names),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda index: names[index],
        nvmlDeviceGetUUID=lambda index: f"GPU-{'abc'[index] * 10}",
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
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
