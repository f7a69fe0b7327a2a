"""The GPU that CUDA calls 0 in this process, among those that NVML numbers by their place on the bus."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

Fact = TypeVar("Fact")
VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
UNSEEN = "no NVIDIA GPU is visible ({}); check with nvidia-smi"


def visible_gpu(nvml: Any) -> Any | str:
    """NVML's handle of it (`nvml` is the module, initialized), or why it is not known. Raises NVMLError.

    Source: CUDA C++ programming guide, environment variables: CUDA_VISIBLE_DEVICES holds indices or the beginnings of UUIDs, and indices go
    by speed unless CUDA_DEVICE_ORDER says PCI_BUS_ID.
    """
    first = os.environ.get(VISIBLE, "0").partition(",")[0].strip()
    if first.startswith("MIG-"):
        return nvml.nvmlDeviceGetHandleByUUID(first)
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    if first.startswith("GPU-"):
        named = [handle for handle in handles if str(nvml.nvmlDeviceGetUUID(handle)).startswith(first)]
        return named[0] if len(named) == 1 else f"{VISIBLE} names {first}, which is {len(named)} of {len(handles)} GPUs"
    if not first.isdigit() or int(first) >= len(handles):
        return f"{VISIBLE} begins with {first!r}, which is none of {len(handles)} GPUs"
    if os.environ.get(ORDER) != "PCI_BUS_ID" and len({str(nvml.nvmlDeviceGetName(handle)) for handle in handles}) > 1:
        return f"which of {len(handles)} different GPUs CUDA numbers {first} is not known: set {ORDER}=PCI_BUS_ID"
    return handles[int(first)]


def gpu() -> tuple[str, str] | str:
    """Its name and compute capability, or why they are not known."""
    return asked(lambda nvml, handle: (str(nvml.nvmlDeviceGetName(handle)), "{}.{}".format(*nvml.nvmlDeviceGetCudaComputeCapability(handle))))


def gpu_memory() -> int | str:
    """Bytes of memory that it has, or why they are not known."""
    return asked(lambda nvml, handle: int(nvml.nvmlDeviceGetMemoryInfo(handle).total))


def asked(question: Callable[[Any, Any], Fact], what: str = "which GPU is here ", refused: str = UNSEEN) -> Fact | str:
    """What NVML (its module, initialized) says of the GPU (its handle), or why it says nothing.

    `what` begins the sentence on a missing package; `refused` is the one on an NVMLError, which stands for its braces.
    """
    try:
        import pynvml
    except ModuleNotFoundError:
        return f"{what}needs the package pynvml: pip install 'eo-harness[gpu]'"
    try:
        pynvml.nvmlInit()
        handle = visible_gpu(pynvml)
        return handle if isinstance(handle, str) else question(pynvml, handle)
    except pynvml.NVMLError as error:
        return refused.format(error)
