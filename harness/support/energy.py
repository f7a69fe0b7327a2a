"""Energy counters of the hardware, in joules since some start; never an estimate from a data sheet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from harness.support.gpu import asked

POWERCAP = Path("/sys/class/powercap")


class Counter(NamedTuple):
    """`read()` gives joules that only ever grow, if at most one wrap of the hardware's own counter lies between two readings."""

    source: str
    read: Callable[[], float]


class _Package:
    """One processor package's counter in microjoules, which starts again at 0 behind `range`; its wraps are added up."""

    def __init__(self, folder: Path) -> None:
        self._file, self._range = folder / "energy_uj", int((folder / "max_energy_range_uj").read_text())
        self._last, self._wraps = int(self._file.read_text()), 0

    def read(self) -> int:
        now = int(self._file.read_text())
        self._wraps += now < self._last
        self._last = now
        return self._wraps * self._range + now


def host_counter(root: Path = POWERCAP) -> Counter | str:
    """Intel's and AMD's RAPL counter of the processor packages (Linux powercap), or why it can't be read."""
    folders = sorted(folder for folder in root.glob("*-rapl:*") if folder.name.count(":") == 1 and _is_package(folder)) if root.is_dir() else []
    if not folders:
        return f"no RAPL counter under {root}: the processor has none, or the machine is virtual"
    try:
        packages = [_Package(folder) for folder in folders]
    except PermissionError:
        return f"RAPL may not be read here: sudo chmod a+r {root}/*-rapl:*/energy_uj"
    except (OSError, ValueError) as error:
        return f"RAPL can't be read: {error}"

    return Counter(f"RAPL, {len(packages)} processor package(s)", lambda: sum(package.read() for package in packages) / 1e6)


def _is_package(folder: Path) -> bool:
    """Beside packages there may be `psys`, which counts them once more with the rest of the machine."""
    with contextlib.suppress(OSError):
        return (folder / "name").read_text().startswith("package")
    return False


def gpu_counter() -> Counter | str:
    """NVML's total energy of the GPU that CUDA takes (Volta and later), or why it can't be read."""
    return asked(_counter, "", "NVML has no energy counter here: {}")


def _counter(nvml: Any, gpu: Any) -> Counter:
    """Raises NVMLError on a GPU without one."""
    nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    return Counter("NVML total energy of the GPU", lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3)
