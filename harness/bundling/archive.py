"""A zip whose bytes depend on nothing but the names and the contents: one date, one order, one mode, one compression."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.core.files import atomic_file

#: The earliest date that a zip can hold.
DATE = (1980, 1, 1, 0, 0, 0)
MODE = stat.S_IFREG | 0o644
UNIX = 3
LEVEL = 6


def write_archive(out: Path, manifest: tuple[str, bytes], files: Mapping[str, Path], progress: Callable[[int, int, str], None]) -> Path:
    """Write the manifest (its name and bytes) and then the files by name to `out`, whole or not at all. Raises HarnessError where that can't be written."""
    with atomic_file(out) as target, zipfile.ZipFile(target, "w") as archive:
        archive.writestr(_entry(manifest[0]), manifest[1], compresslevel=LEVEL)
        for done, name in enumerate(sorted(files)):
            progress(done, len(files), "compressing")
            _add(archive, name, files[name])
    return out


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    entry = _entry(name)
    entry.file_size = path.stat().st_size
    with path.open("rb") as source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target, 2**20)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, DATE)
    entry.create_system, entry.external_attr = UNIX, MODE << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
