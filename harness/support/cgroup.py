"""What the control groups of this process allow it, versions 1 and 2, and how often they held it back. Source: cgroups(7)."""

from __future__ import annotations

import contextlib
from pathlib import Path

ROOT = Path("/")
MOUNT = "sys/fs/cgroup"


def allowed_cores(root: Path = ROOT) -> float | None:
    """The least processor time per time of the process's groups, in cores; None without a limit."""
    return min(filter(None, map(_quota, _folders("cpu", root))), default=None)


def allowed_memory(root: Path = ROOT) -> int | None:
    """The least limit in bytes, None without one; version 1 writes a number beyond any machine for none."""
    limits = [_number(folder / name) for folder in _folders("memory", root) for name in ("memory.max", "memory.limit_in_bytes")]
    return min((limit for limit in limits if limit is not None), default=None)


def periods(root: Path = ROOT) -> tuple[int, int] | None:
    """Periods of the scheduler so far, and those in which the process's group had used up its share; None where nothing is counted."""
    counted = [found for folder in _folders("cpu", root) if (found := _counted(folder / "cpu.stat"))]
    return max(counted, key=lambda pair: pair[::-1], default=None)


def _folders(controller: str, root: Path) -> list[Path]:
    """The group of this process and those above it, its own first. In a container the mount may be the group itself."""
    found: list[Path] = []
    for line in _lines(root / "proc/self/cgroup"):
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        for mount in {root / MOUNT / names: None, root / MOUNT / (controller if names else "unified"): None}:
            own = mount if ".." in path else mount / path.strip("/")
            found += [folder for folder in (own, *own.parents) if folder.is_relative_to(mount) and folder.is_dir()]
    return list(dict.fromkeys(found))


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text().splitlines()
    return []


def _number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def _quota(folder: Path) -> float | None:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    if quota and period and quota > 0:
        return quota / period
    with contextlib.suppress(OSError, ValueError):
        quota, period = map(int, (folder / "cpu.max").read_text().split())
        return quota / period
    return None


def _counted(path: Path) -> tuple[int, int] | None:
    counts = dict(line.split() for line in _lines(path))
    with contextlib.suppress(KeyError, ValueError):
        return int(counts["nr_periods"]), int(counts["nr_throttled"])
    return None
