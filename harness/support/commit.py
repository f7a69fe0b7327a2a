"""Which commit of the user's repository a measurement ran at."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

#: What continuous integration says where git does not answer.
_VARIABLES = ("GITHUB_SHA", "CI_COMMIT_SHA")
_SECONDS = 10.0


def code_at(folder: Path) -> dict[str, str | bool]:
    """`commit` of the git repository that holds `folder`, and `changed` (tracked files differ from it); empty where there is none."""
    said = _git(folder, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    if said:
        return {"commit": said.removesuffix("-dirty"), "changed": said.endswith("-dirty")}
    named = next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), "")
    return {"commit": named, "changed": False} if named else {}


def _git(folder: Path, *arguments: str) -> str:
    """What git says, "" where it is not installed, takes too long, or `folder` is in no repository of this user."""
    # Without optional locks, so that a look does not get into the way of a commit.
    here = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False, env=here)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
