"""Resident memory of this process from the kernel, with a peak that can be reset (Linux; see proc(5), `clear_refs`)."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SOURCE = "VmHWM of /proc/self/status, reset through /proc/self/clear_refs"


def resettable() -> str | None:
    """None when the peak can be reset here, else why not."""
    if not _STATUS.exists():
        return "needs Linux: /proc/self/status gives the peak, and it can be reset"
    try:
        reset_peak()
    except OSError as error:
        return f"the kernel refuses to reset the peak: {error}"
    return None


def reset_peak() -> None:
    """Set the peak to what is resident now."""
    _CLEAR_REFS.write_text("5")


def release() -> None:
    """Give the kernel back what was freed and the C library still holds (glibc: malloc_trim(3)), which no call of a model needs."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def peak() -> int:
    """Peak resident bytes since the last reset."""
    return _field("VmHWM")


def resident() -> int:
    """Resident bytes now."""
    return _field("VmRSS")


def _field(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")
