"""What else the machine did while a cell was measured: readings before and after it, and what of them makes its numbers doubtful."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from harness.core.record import Advice
from harness.support.cgroup import ROOT, periods
from harness.support.gpu import asked

#: Percent from which on it is said: of the machine's processor time, of the same, of the scheduler's periods.
BUSY, STOLEN, THROTTLED = 25.0, 1.0, 1.0
#: Of the cores: where the kernel does not count processor time, the load stands for it.
LOADED = 0.5


class Reading(NamedTuple):
    """Counters since some start: ticks of all processors (all, idle, stolen by the host), seconds of this process and its ended children,
    periods of the scheduler (all, throttled). `gpu_processes` are those of others. None: not counted here."""

    load: float
    ticks: tuple[int, int, int] | None
    own: float
    periods: tuple[int, int] | None
    gpu_processes: int | None


def reading(root: Path = ROOT) -> Reading:
    """The counters now."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return Reading(os.getloadavg()[0], _ticks(root / "proc/stat"), own, periods(root), _gpu_processes())


def load_between(before: Reading, after: Reading) -> dict[str, float]:
    """For `Environment.load`. The load and the GPU's processes are those before, so that the cell's own are not among them.

    The load before a cell may still be that of the cell before it; what others took of the processors is counted exactly.
    """
    load = {"load_1min": before.load}
    if before.ticks and after.ticks and after.ticks[0] > before.ticks[0]:
        passed, idle, stolen = (end - begin for begin, end in zip(before.ticks, after.ticks, strict=True))
        own = (after.own - before.own) * os.sysconf("SC_CLK_TCK")
        load["steal_percent"] = 100 * stolen / passed
        load["other_percent"] = 100 * max(0.0, passed - idle - stolen - own) / passed
    if before.periods and after.periods and after.periods[0] > before.periods[0]:
        load["throttled_percent"] = 100 * (after.periods[1] - before.periods[1]) / (after.periods[0] - before.periods[0])
    if before.gpu_processes is not None:
        load["gpu_processes"] = float(before.gpu_processes)
    return load


def advice_on(load: Mapping[str, float], cores: int) -> tuple[Advice, ...]:
    """What of a load disturbs measurements."""
    advice: list[Advice] = []
    other = load.get("other_percent")
    if other is not None and other >= BUSY:
        message = f"other programs took {other:.0f} % of the machine's processor time"
        advice.append(Advice(kind="busy", message=message, advice="stop other programs before profiling"))
    if other is None and load.get("load_1min", 0.0) > LOADED * cores:
        message = f"load {load['load_1min']:.1f} on {cores} cores"
        advice.append(Advice(kind="busy", message=message, advice="stop other programs before profiling"))
    if load.get("steal_percent", 0.0) >= STOLEN:
        advice.append(Advice(kind="steal", message=f"the host took {load['steal_percent']:.0f} % of the processor time away", advice="use a dedicated machine"))
    if load.get("throttled_percent", 0.0) >= THROTTLED:
        message = f"the container's quota held the process back in {load['throttled_percent']:.0f} % of the scheduler's periods"
        advice.append(Advice(kind="throttled", message=message, advice="fewer threads than the quota's cores, or a higher quota"))
    if load.get("gpu_processes", 0) > 0:
        message = f"{load['gpu_processes']:.0f} other processes compute on the GPU"
        advice.append(Advice(kind="gpu shared", message=message, advice="end them: nvidia-smi lists them"))
    return tuple(advice)


def _ticks(path: Path) -> tuple[int, int, int] | None:
    """All, idle and stolen; guests' time is in that of their hosts (proc(5))."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        name, *fields = path.read_text().splitlines()[0].split()
        ticks = [int(field) for field in fields[:8]]
        if name == "cpu" and len(ticks) == 8:
            return sum(ticks), ticks[3] + ticks[4], ticks[7]
    return None


def _gpu_processes() -> int | None:
    """Other processes that compute on the GPU now; in a container those of others may be hidden. None without a GPU."""
    found = asked(lambda nvml, gpu: sum(process.pid != os.getpid() for process in nvml.nvmlDeviceGetComputeRunningProcesses(gpu)))
    return None if isinstance(found, str) else found
