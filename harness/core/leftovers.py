"""What a killed process leaves behind, removed by the next run: temporary folders and half-written siblings of files.

Whoever makes one puts its mark into the name: where its process number counts (one namespace of processes on one machine), and the number.
Only what carries a mark of here and a number of no living process is removed, so that a folder shared by machines or containers is safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

#: Between the name of a folder and the mark of the process that is replacing it.
RETIRED = ".old-"


def marked(prefix: str) -> str:
    """`prefix` with this process's mark, for `tempfile`: "harness-" becomes "harness-1a2b3c4d-4711-"."""
    return f"{prefix}{_place()}-{os.getpid()}-"


def sweep(folders: Iterable[Path]) -> list[Path]:
    """Remove what dead processes left directly in `folders`; what could not be read or removed stays. Gives what was removed.

    A folder that had been put aside to be replaced, but was not, gets its name back.
    """
    mark = re.compile(rf"{_place()}-(\d+)-")
    return [path for folder in folders for path in _entries(folder) if (found := mark.search(path.name)) and not _lives(int(found[1])) and _clear(path)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _clear(path: Path) -> bool:
    home = path.with_name(path.name[1:].partition(RETIRED)[0])
    with contextlib.suppress(OSError):
        if RETIRED in path.name and not home.exists():
            path.rename(home)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        return True
    return False


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _place() -> str:
    """The machine and, on Linux, the namespace in which process numbers count (namespaces(7))."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]
