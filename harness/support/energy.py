"""Energy counters of the hardware, in joules since some start; never an estimate from a data sheet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

POWERCAP = Path("/sys/class/powercap")


class Counter(NamedTuple):
    """`read()` gives joules; it starts again at 0 after `wraps_at` joules (None: never)."""

    source: str
    read: Callable[[], float]
    wraps_at: float | None


def between(counter: Counter, before: float, after: float) -> float:
    """Joules from one reading to the next, over at most one wrap."""
    return after - before if after >= before or counter.wraps_at is None else after - before + counter.wraps_at


def host_counter(root: Path = POWERCAP) -> Counter | str:
    """Intel's and AMD's RAPL counter of the processor packages (Linux powercap), or why it can't be read."""
    packages = sorted(folder for folder in root.glob("*-rapl:*") if folder.name.count(":") == 1) if root.is_dir() else []
    if not packages:
        return f"no RAPL counter under {root}: the processor has none, or the machine is virtual"
    try:
        ranges = [int((folder / "max_energy_range_uj").read_text()) for folder in packages]
        [int((folder / "energy_uj").read_text()) for folder in packages]
    except PermissionError:
        return f"RAPL may not be read here: sudo chmod a+r {root}/*-rapl:*/energy_uj"
    except (OSError, ValueError) as error:
        return f"RAPL can't be read: {error}"

    def read() -> float:
        return sum(int((folder / "energy_uj").read_text()) for folder in packages) / 1e6

    return Counter(f"RAPL, {len(packages)} processor package(s)", read, ranges[0] / 1e6 if len(packages) == 1 else None)


def gpu_counter(index: int = 0) -> Counter | str:
    """NVML's total energy of one GPU (Volta and later), or why it can't be read."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return "needs the package pynvml: pip install 'eo-harness[gpu]'"
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError as error:
        return f"NVML has no energy counter here: {error}"
    return Counter("NVML total energy of the GPU", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3, None)
