"""The machine and the software that a number was measured on."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

import psutil

from harness.core.files import canonical_json, sha256_of_text
from harness.core.record import Environment
from harness.support.cgroup import allowed_cores, allowed_memory
from harness.support.gpu import visible_gpu

PACKAGES = ("eo-harness", "numpy", "torch", "torchvision", "timm", "torchgeo", "terratorch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt")
#: Instruction sets that decide which kernels a runtime picks.
FLAGS = ("avx", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "fma", "asimd", "sve", "i8mm", "bf16")


def available_cores() -> int:
    """Cores that this process may use: affinity and the container's quota counted."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = allowed_cores()
    return max(1, min(cores, int(quota))) if quota else cores


def environment(threads: int, load: Mapping[str, float] | None = None) -> Environment:
    """This machine, running with `threads` threads; `load` is what else it did (`profiling.disturbance`)."""
    cpuinfo, gpu = _cpuinfo(), _gpu()
    cpu, flags = cpu_name(cpuinfo), _flags(cpuinfo)
    cores, memory = available_cores(), _memory()
    facts = {
        "cpu": cpu,
        "cores": cores,
        "flags": flags,
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
        flags=flags,
        memory=memory,
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        gpu=gpu.get("gpu"),
        driver=gpu.get("driver"),
        cuda=gpu.get("cuda"),
        packages=_packages(),
        threads=threads,
        container=_container(),
        load=dict(load or {}),
        fingerprint=sha256_of_text(canonical_json(facts))[:12],
    )


def _cpuinfo() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/cpuinfo").read_text()
    return ""


def cpu_name(cpuinfo: str) -> str:
    """The processor, from /proc/cpuinfo. Of an ARM core with its maker's and its own number, since many have no name, or that of the architecture."""
    name = re.search(r"^(?:model name|Model|Hardware)\s*:(.*)$", cpuinfo, re.MULTILINE)
    cores = re.findall(r"^CPU implementer\s*: *(\S+)$.*?^CPU part\s*: *(\S+)$", cpuinfo, re.MULTILINE | re.DOTALL)
    known = re.sub(r"\((R|TM)\)", "", name[1]).strip() if name else platform.processor() or platform.machine()
    return " ".join([known, *sorted({f"{maker}/{part}" for maker, part in cores})])


def processor_flags() -> tuple[str, ...]:
    """Those of the processor that decide how fast a precision is; () where the system does not tell them."""
    return _flags(_cpuinfo())


def _flags(cpuinfo: str) -> tuple[str, ...]:
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return tuple(flag for flag in FLAGS if found and flag in found[1].split())


def _memory() -> int:
    """Bytes of memory that this process may use: the smaller of the machine's and the container's."""
    total, limit = int(psutil.virtual_memory().total), allowed_memory()
    return total if limit is None else min(total, limit)


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
    """Name of the NVIDIA GPU that CUDA takes, or of the first where that is not known, driver and CUDA version; empty without one."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return {}
    try:
        pynvml.nvmlInit()
        cuda, gpu = pynvml.nvmlSystemGetCudaDriverVersion_v2(), visible_gpu(pynvml)
        return {
            "gpu": str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0) if isinstance(gpu, str) else gpu)),
            "driver": str(pynvml.nvmlSystemGetDriverVersion()),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
        }
    except pynvml.NVMLError:
        return {}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
