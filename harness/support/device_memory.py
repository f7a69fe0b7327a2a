"""Memory of the GPU that this process holds, as NVML counts it: pages reserved, the CUDA context among them."""

from __future__ import annotations

import os

from harness.support.gpu import asked

SOURCE = "NVML, pages that this process holds after its runs, CUDA context included"


def of_this_process() -> int | str:
    """Bytes, or why they are not known: in a container NVML may not see which process is ours."""
    processes = asked(lambda nvml, gpu: nvml.nvmlDeviceGetComputeRunningProcesses(gpu), "", "NVML lists no processes here: {}")
    if isinstance(processes, str):
        return processes
    ours = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
    if not ours:
        return f"NVML does not see this process among {len(processes)} on the GPU: in a container, share the host's process ids (docker run --pid=host)"
    return int(ours[0]) if ours[0] is not None else "NVML keeps no memory per process with this driver"
