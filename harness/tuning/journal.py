"""Finished measurements, a JSON line each, so that a run that was killed goes on where it stopped."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from harness.core.errors import ConfigError
from harness.core.files import cannot_write, canonical_json, hold, write_atomic


class Journal:
    """Entries by key, on disk before `add` returns. `resumed`: how many were there; `anew`: why an older file was not gone on with.

    No other process may have it open: it would write figures of its own settings under the head of this one's. Raises ConfigError then.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, force: bool = False) -> None:
        self._path, self.anew = path, ""
        head = {"journal": 1, "settings": dict(settings)}
        with _held(path):
            lines = [] if force else _lines(path)
            if lines and lines[0] != json.loads(canonical_json(head)):
                self.anew, lines = _difference(lines[0], settings), []
            self._entries: dict[str, Any] = {line["key"]: line["value"] for line in lines[1:]}
            self.resumed = len(self._entries)
            # Written whole, so that a line that a kill cut short is not followed by another.
            write_atomic(path, "".join(canonical_json(line) + "\n" for line in (lines or [head])))
            self._file = _held(path)

    def close(self) -> None:
        """Let others have it."""
        with contextlib.suppress(OSError):  # a full disk was said by `add`
            self._file.close()

    def get(self, key: str) -> Any:
        """What was kept under the key, None where nothing was."""
        return self._entries.get(key)

    def add(self, key: str, value: Any) -> None:
        """Keep a value. Raises HarnessError when the disk refuses."""
        self._entries[key] = value
        try:
            self._file.write(f"{canonical_json({'key': key, 'value': value})}\n".encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from error


def _held(path: Path) -> BinaryIO:
    """The file, made where it is not there, opened for adding and locked."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise cannot_write(path, error) from error
    hold(file.fileno(), ConfigError(f"another `harness tune` is at work with {path}", "wait for it, or choose another --out"))
    return file


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of the file; what a kill cut short is left out. Raises ConfigError for a file that is no journal."""
    found: list[dict[str, Any]] = []
    if not path.stat().st_size:
        return found
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    if not found or not all(isinstance(one, dict) for one in found) or not _is_whole(found):
        raise ConfigError(f"{path} is no journal of this verb", "choose another --out, or --force to write over it")
    return found


def _is_whole(lines: list[dict[str, Any]]) -> bool:
    head, entries = lines[0], lines[1:]
    return "journal" in head and isinstance(head.get("settings"), dict) and all({"key", "value"} == one.keys() for one in entries)


def _difference(head: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The first setting in which a journal differs."""
    before = head.get("settings", {})
    wanted = json.loads(canonical_json(dict(settings)))
    name = next((name for name in sorted({*before, *wanted}) if before.get(name) != wanted.get(name)), "format")
    return f"its {name} was {before.get(name)}, now {wanted.get(name)}"
