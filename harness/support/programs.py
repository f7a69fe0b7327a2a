"""A program of torch.export read from a `.pt2` file without running what somebody may have put into it."""

from __future__ import annotations

import contextlib
import os
import pickle  # noqa: TID251 - only for the type of torch.load's refusal; nothing is unpickled with it
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import MeasurementError
from harness.support.foreign_pt2 import graph_entry

if TYPE_CHECKING:
    from torch.export import ExportedProgram

#: torch.load then takes tensors and plain containers only, also where its caller asks for any pickle, as torch.export does.
TENSORS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def load_program(path: Path) -> ExportedProgram:
    """Raises MeasurementError for a file that torch can't load, and for one of which it would run libraries or pickles of objects.

    The sizes in the graph, which torch evaluates as well, are looked at by `read_pt2`, before anything is timed.
    """
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            graph_entry(archive)
        with _tensors_only():
            return torch.export.load(str(path))
    except pickle.UnpicklingError as error:
        raise MeasurementError(f"{path} holds a pickle of more than tensors, which would be run; refused", "save it with torch.export.save") from error
    except (RuntimeError, ValueError, KeyError, OSError, AssertionError, zipfile.BadZipFile) as error:
        raise MeasurementError(f"torch.export cannot load {path}: {error}", "export it again with the installed torch") from error


@contextlib.contextmanager
def _tensors_only() -> Iterator[None]:
    before = os.environ.get(TENSORS_ONLY)
    os.environ[TENSORS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[TENSORS_ONLY]
        else:
            os.environ[TENSORS_ONLY] = before
