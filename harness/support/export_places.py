"""Where the exports of a checkpoint lie, so that one that is wanted in another folder is copied and not made again.

The list is in the checkpoint's own folder and moves with it; what is in it is believed only after the bytes were hashed again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.core.artifact import ARTIFACT_FILE, Artifact, artifacts_in, read_artifact
from harness.core.errors import CheckpointError, HarnessError
from harness.core.files import atomic_folder, read_value, write_atomic

LIST = Path("artifacts") / "elsewhere.json"


def remember(checkpoint: Path, folder: Path) -> None:
    """Add a folder outside the checkpoint's own to its list; where that can't be written, an export is made twice at worst."""
    if folder.resolve().is_relative_to(checkpoint.resolve()):
        return
    listed = _listed(checkpoint)
    with contextlib.suppress(HarnessError):
        write_atomic(checkpoint / LIST, json.dumps(sorted({*listed, str(folder.resolve())}), indent=1) + "\n")


def known_exports(checkpoint: Path, form: str, precision: str, *, apart_from: Path) -> Iterator[tuple[Path, Artifact]]:
    """The checkpoint's exports in a format and precision that are still there and whole, its own folder's first."""
    for folder in (*artifacts_in(checkpoint / "artifacts"), *map(Path, _listed(checkpoint))):
        with contextlib.suppress(HarnessError):
            known = read_value(folder / ARTIFACT_FILE, Artifact, CheckpointError)
            if (known.format, known.precision) == (form, precision) and folder.resolve() != apart_from.resolve():
                yield folder, read_artifact(folder)


def copied(place: Path, artifact: Artifact, folder: Path) -> None:
    """Copy the artifact in `place` to `folder`, whole or not at all, and nothing else that lies there."""
    with atomic_folder(folder) as partial:
        for name in (ARTIFACT_FILE, artifact.file, *artifact.files):
            shutil.copyfile(place / name, partial / name)


def _listed(checkpoint: Path) -> list[str]:
    """The folders in the list; a list that can't be read is an empty one."""
    try:
        found = json.loads((checkpoint / LIST).read_text())
    except (OSError, ValueError):
        return []
    return [place for place in found if isinstance(place, str)] if isinstance(found, list) else []
