"""One training as a value: what makes two trainings the same one, so that a stopped run may go on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.core.artifact import CHECKPOINT_FILE
from harness.core.errors import ConfigError
from harness.core.files import cannot_write, hold, require_left, write_value
from harness.core.leftovers import sweep
from harness.core.specs import Value
from harness.training.recipe import Recipe

Regime = Literal["frozen", "finetune", "scratch"]
WORK = ".work"
JOB_FILE = "job.json"
#: Lightning starts a process for each further device, with its number in this variable.
FURTHER_DEVICE = "LOCAL_RANK"


class Job(Value):
    """Everything that a training's result depends on, the machine apart. `data` is the sha256 of the training tiles, `weights` of the file."""

    model: str
    dataset: str
    version: str
    data: str
    regime: Regime
    recipe: Recipe
    seed: int = Field(ge=0, lt=2**63)  # PyTorch's generators take no larger one
    label_fraction: float = Field(gt=0, le=1)
    tile: int
    input_size: int
    weights: str | None
    devices: int = Field(ge=1)
    fill_missing: bool = False
    encoder_options: dict[str, Any] = {}
    decoder_options: dict[str, Any] = {}


def work_folder(out: Path, job: Job) -> Path:
    """The folder `<out>/.work` of this job, new or as a stopped run left it.

    Raises ConfigError where `out` holds something else, or the work of a run with other settings; HarnessError where it can't be written.
    """
    require_left(out)
    sweep([out.parent])  # what was killed while it put the checkpoint in place has its finished training put aside
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file", "choose another folder with --out")
    names = {item.name for item in out.iterdir()} if out.is_dir() else set()
    if names - {WORK} and CHECKPOINT_FILE not in names:
        raise ConfigError(f"{out} holds other files and is no checkpoint, so it is not replaced", "choose another folder with --out")
    work = out / WORK
    _require_same(work / JOB_FILE, job)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(work, error) from error
    write_value(work / JOB_FILE, job)
    return work


@contextlib.contextmanager
def alone_in(work: Path) -> Iterator[None]:
    """No other training uses the folder until the block ends. Raises ConfigError where one does: each would save over the other's state."""
    if FURTHER_DEVICE in os.environ:
        yield
        return
    handle = os.open(work, os.O_RDONLY)
    try:
        hold(handle, ConfigError(f"another training is at work in {work.parent}", "wait for it, or choose another folder with --out"))
        yield
    finally:
        os.close(handle)


def _require_same(path: Path, job: Job) -> None:
    if not path.is_file():
        return
    fix = f"remove {path.parent} to start again, or choose another folder with --out"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not readable: {error}", fix) from error
    changes = differences(before, job.model_dump(mode="json"))
    if changes:
        raise ConfigError(f"a training with other settings was stopped in {path.parent.parent}: {', '.join(changes)}", fix)


def differences(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> list[str]:
    """What differs, as "recipe.lr 0.001 -> 0.0001"."""
    found = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} {old} -> {new}")
    return found
