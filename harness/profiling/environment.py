"""The machine and the software that a number was measured on."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path

import psutil

from harness.core.files import canonical_json, sha256_of_text
from harness.core.record import Environment

PACKAGES = ("eo-harness", "numpy", "torch", "torchvision", "timm", "torchgeo", "terratorch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt")
#: Instruction sets that decide which kernels a runtime picks.
FLAGS = ("avx", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "fma", "asimd", "sve", "i8mm", "bf16")


def available_cores() -> int:
    """Cores that this process may use: affinity and the container's quota counted."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cores()
    return max(1, min(cores, quota)) if quota else cores


def environment(threads: int) -> Environment:
    """This machine now, running with `threads` threads."""
    cpu, gpu = _cpu_name(), _gpu()
    cores, memory = available_cores(), _memory()
    facts = {
        "cpu": cpu,
        "cores": cores,
        "flags": _flags(),
        "memory_gb": round(memory / 2**30),
        "gpu": gpu.get("gpu"),
        "driver": gpu.get("driver"),
        "python": platform.python_version(),
        "packages": _packages(),
        "threads": threads,
    }
    return Environment(
        machine=_slug(f"{cpu} {cores}c" + (f" {gpu['gpu']}" if gpu else "")),
        cpu=cpu,
        cores=cores,
        flags=_flags(),
        memory=memory,
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        gpu=gpu.get("gpu"),
        driver=gpu.get("driver"),
        cuda=gpu.get("cuda"),
        packages=_packages(),
        threads=threads,
        container=_container(),
        load={
            "load_1min": os.getloadavg()[0],
            "steal_percent": float(getattr(psutil.cpu_times_percent(), "steal", 0.0)),
            **({"gpu_processes": float(_gpu_processes())} if gpu else {}),
        },
        fingerprint=sha256_of_text(canonical_json(facts))[:12],
    )


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model", "Hardware")):
                return re.sub(r"\((R|TM)\)", "", line.partition(":")[2]).strip()
    return platform.processor() or platform.machine()


def _flags() -> tuple[str, ...]:
    with contextlib.suppress(OSError):
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return tuple(flag for flag in FLAGS if found and flag in found[1].split())
    return ()


def _memory() -> int:
    """Bytes of memory that this process may use: the smaller of the machine's and the container's."""
    total = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def _cgroup_cores() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(quota) // int(period))
    return None


def _container() -> str | None:
    if Path("/.dockerenv").exists():
        return "docker"
    return os.environ.get("container") or ("kubernetes" if os.environ.get("KUBERNETES_SERVICE_HOST") else None)  # noqa: SIM112  systemd spells it so


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _gpu() -> dict[str, str]:
    """Name, driver and CUDA version of the first NVIDIA GPU; empty without one."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return {}
    try:
        pynvml.nvmlInit()
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return {
            "gpu": str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))),
            "driver": str(pynvml.nvmlSystemGetDriverVersion()),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
        }
    except pynvml.NVMLError:
        return {}


def _gpu_processes() -> int:
    """Processes that compute on the first GPU now; in a container those of others may be hidden."""
    import pynvml

    try:
        return len(pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByIndex(0)))
    except pynvml.NVMLError:
        return 0


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
