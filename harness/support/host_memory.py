"""What this process holds of the machine's memory, from the kernel, with a peak that can be reset (Linux; see proc(5), `clear_refs` and `smaps`).

Pages of program files are told apart. They belong to the page cache: processes share them, and the kernel drops them when memory is short and
reads them again. How many are resident depends on how the file came into the cache, not on the model: a library that was just installed
lies there in large folios, which one fault maps whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections import defaultdict
from pathlib import Path

_STATUS, _CLEAR_REFS, _SMAPS = (Path("/proc/self", name) for name in ("status", "clear_refs", "smaps"))
SOURCE = "VmHWM of /proc/self/status, reset through /proc/self/clear_refs, less the pages of program files in /proc/self/smaps"
LIBRARIES = "Rss less Anonymous of /proc/self/smaps, over files with a mapping to be executed"
#: A mapping's first line: addresses, permissions, offset, device, inode, path.
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ (\S{4}) \S+ \S+ (\d+)\s*(.*)")
#: Code made at run time lies in files without a disk: it can't be dropped.
_IN_MEMORY = ("/memfd:", "/dev/", "/SYSV")


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


def program_pages() -> int:
    """Resident bytes of files that are mapped to be executed, unchanged since they were read: the runtime's libraries, and Python."""
    pages: defaultdict[str, int] = defaultdict(int)
    programs, path = set(), ""
    for line in _SMAPS.read_text(errors="replace").splitlines():
        if mapping := _MAPPING.fullmatch(line):
            permissions, inode, path = mapping.groups()
            if "x" in permissions and int(inode) and not path.startswith(_IN_MEMORY):
                programs.add(path)
        elif line.startswith(("Rss:", "Anonymous:")):
            kib = int(line.split()[1])
            pages[path] += kib * 1024 if line.startswith("Rss:") else -kib * 1024
    return sum(pages[path] for path in programs)


def _field(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")
