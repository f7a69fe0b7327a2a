"""A bundle's files in a folder, after every one of them was found to be plain, announced, of its size and unchanged.

A bundle comes from elsewhere, so nothing in it is believed: not the names, not the sizes, not the kinds of its entries.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from harness.bundling.manifest import AGAIN, MANIFEST_FILE, FileFacts, Manifest, manifest_from
from harness.core.errors import BundleError
from harness.support.bundled import NAME

MAX_FILES = 200_000
MAX_BYTES = 64 * 2**30
MAX_MANIFEST = 64 * 2**20
#: A whole archive may unpack to this many times its own size, once that is more than FREE_BYTES. Logits hardly shrink, flat masks a lot.
MAX_RATIO = 100
FREE_BYTES = 2**28
BLOCK = 2**20
ENCRYPTED = 0x1


def unpack(bundle: Path, folder: Path) -> Manifest:
    """Write the files of `bundle` below `folder`. Raises BundleError with what is wrong, and may leave files in `folder` then."""
    try:
        with zipfile.ZipFile(bundle) as archive:
            entries = _entries(archive, bundle)
            manifest = _manifest(archive, entries, bundle)
            _require_same(manifest.files, entries, bundle)
            _require_room(manifest.files, folder, bundle)
            for name, facts in manifest.files.items():
                _extract(archive, entries[name], facts, folder / name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError) as error:
        raise _broken(bundle, error) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # an entry that begins before the file does
            raise _broken(bundle, error) from error
        raise BundleError(f"cannot unpack {bundle}: {error.strerror or error}", "free some space, or set TMPDIR to a folder with more") from error
    return manifest


def _broken(bundle: Path, error: Exception) -> BundleError:
    return BundleError(f"{bundle} is no whole zip: {error}", "copy it again; `sha256sum` on both machines shows whether it is the same")


def _entries(archive: zipfile.ZipFile, bundle: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries by name, none of which can leave the folder, hide another or fill the disk."""
    found: dict[str, zipfile.ZipInfo] = {}
    folded: dict[str, str] = {}
    listed = archive.infolist()
    if len(listed) > MAX_FILES:
        raise BundleError(f"{bundle} holds {len(listed)} files, more than {MAX_FILES}", "bundle fewer --tiles")
    for entry in listed:
        _require_plain(entry, bundle)
        first = folded.setdefault(entry.filename.lower(), entry.filename)
        if entry.filename in found:
            raise BundleError(f"{bundle} holds {entry.filename} twice", AGAIN)
        if first != entry.filename:
            raise BundleError(f"{bundle} holds {first} and {entry.filename}, which are one file on some systems", AGAIN)
        found[entry.filename] = entry
    _require_bounded(found, bundle)
    return found


def _require_plain(entry: zipfile.ZipInfo, bundle: Path) -> None:
    name = entry.orig_filename
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise BundleError(f"{bundle} holds the absolute path {name!r}; refused", AGAIN)
    if ".." in re.split(r"[/\\]", name):
        raise BundleError(f"{bundle} holds {name!r}, which leads out of its folder; refused", AGAIN)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or name.endswith("/"):
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise BundleError(f"{bundle} holds {name!r}, which is {what}; refused", AGAIN)
    if name != entry.filename or not all(re.fullmatch(NAME, part) for part in name.split("/")):
        raise BundleError(f"{bundle} holds the name {name!r}; a name is letters, digits, and . _ + -", AGAIN)
    if entry.flag_bits & ENCRYPTED:
        raise BundleError(f"{bundle}: {name} is encrypted", AGAIN)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError(f"{bundle}: {name} is compressed by method {entry.compress_type}; a bundle's files are stored or deflated", AGAIN)


def _require_bounded(entries: Mapping[str, zipfile.ZipInfo], bundle: Path) -> None:
    total, packed = sum(entry.file_size for entry in entries.values()), bundle.stat().st_size
    if total > MAX_BYTES:
        raise BundleError(f"{bundle} would unpack to {total / 1e9:,.1f} GB, more than {MAX_BYTES / 1e9:,.1f} GB", "bundle fewer --tiles")
    if total > FREE_BYTES and total > MAX_RATIO * packed:
        raise BundleError(f"{bundle} has {packed / 1e6:,.1f} MB and would unpack to {total / 1e6:,.1f} MB, more than {MAX_RATIO} times as much; refused", AGAIN)


def _manifest(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], bundle: Path) -> Manifest:
    entry = entries.pop(MANIFEST_FILE, None)
    if entry is None:
        raise BundleError(f"{bundle} is no bundle: it has no {MANIFEST_FILE}", "harness bundle CHECKPOINT --out X.zip makes one")
    if entry.file_size > MAX_MANIFEST:
        raise BundleError(f"{bundle}: {MANIFEST_FILE} has {entry.file_size} bytes, more than {MAX_MANIFEST}", AGAIN)
    with archive.open(entry) as source:
        return manifest_from(source.read(MAX_MANIFEST), str(bundle))


def _require_same(announced: Mapping[str, FileFacts], entries: Mapping[str, zipfile.ZipInfo], bundle: Path) -> None:
    missing, extra = sorted(announced.keys() - entries.keys()), sorted(entries.keys() - announced.keys())
    if missing:
        raise BundleError(f"{bundle}: the manifest names {missing[0]}, which is not there{_more(missing)}", AGAIN)
    if extra:
        raise BundleError(f"{bundle} holds {extra[0]}, which the manifest does not name{_more(extra)}", AGAIN)
    other = next((name for name, facts in announced.items() if entries[name].file_size != facts.size), None)
    if other is not None:
        raise BundleError(f"{bundle}: {other} has {entries[other].file_size} bytes, the manifest says {announced[other].size}", AGAIN)


def _require_room(files: Mapping[str, FileFacts], folder: Path, bundle: Path) -> None:
    wanted, free = sum(facts.size for facts in files.values()), shutil.disk_usage(folder).free
    if wanted > free:
        raise BundleError(f"{bundle} needs {wanted / 1e6:,.1f} MB to unpack, {folder} has {free / 1e6:,.1f} MB free", "set TMPDIR to a folder with more")


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, facts: FileFacts, path: Path) -> None:
    """Stream one entry to `path`; what is longer than it said is not written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), facts.size
    with archive.open(entry) as source, path.open("xb") as target:
        while block := source.read(BLOCK):
            left -= len(block)
            if left < 0:
                break
            digest.update(block)
            target.write(block)
    if left != 0 or digest.hexdigest() != facts.sha256:
        raise BundleError(f"{archive.filename}: {entry.filename} is not the file that was bundled: its sha256 differs from the manifest", AGAIN)
