"""Memory of the GPU that this process holds, as NVML counts it: pages reserved, the CUDA context among them."""

from __future__ import annotations

import os

from harness.support.gpu import visible_gpu

SOURCE = "NVML, pages that this process holds after its runs, CUDA context included"


def of_this_process() -> int | str:
    """Bytes, or why they are not known: in a container NVML may not see which process is ours."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return "needs the package pynvml: pip install 'eo-harness[gpu]'"
    try:
        pynvml.nvmlInit()
        gpu = visible_gpu(pynvml)
        if isinstance(gpu, str):
            return gpu
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
    except pynvml.NVMLError as error:
        return f"NVML lists no processes here: {error}"
    ours = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
    if not ours:
        return f"NVML does not see this process among {len(processes)} on the GPU: in a container, share the host's process ids (docker run --pid=host)"
    return int(ours[0]) if ours[0] is not None else "NVML keeps no memory per process with this driver"
