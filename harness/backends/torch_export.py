"""PyTorch over a `.pt2` file of torch.export: the program as it was exported, run node by node."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import Artifact
from harness.core.errors import UnavailableError
from harness.core.ports import Session
from harness.support.backend_options import chosen
from harness.support.programs import load_program
from harness.support.torch_session import TorchSession, prepare_torch, torch_unavailable

if TYPE_CHECKING:
    import torch


class TorchExport:
    formats = ("pt2",)
    devices = ("cpu", "cuda")
    is_default = True

    def unavailable(self, device: str = "cpu") -> str | None:
        return torch_unavailable("backend torch_export", device)

    def lacks(self, precision: str, device: str = "cpu") -> str | None:
        return self.unavailable(device) or (None if precision in ("fp32", "fp16", "bf16") else f"a .pt2 program holds no {precision}")

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return chosen("torch_export", {}, options)

    def import_model(self, artifact: Artifact) -> None:
        """Import what loads a program, so that loading it is not charged with imports: they are 100 MB, and most of its seconds."""
        with contextlib.suppress(ImportError):  # the modules are PyTorch's own affair, so another release may keep them elsewhere
            importlib.import_module("torch.export._trace")
            importlib.import_module("torch.export.pt2_archive._package")

    @contextlib.contextmanager
    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> Iterator[Session]:
        reason = self.unavailable(device)
        if reason:
            raise UnavailableError(reason, "harness doctor")
        self.settings(options)
        prepare_torch(threads, tf32=False)
        yield TorchSession(_module(folder / artifact.file, device), device)


def _module(path: Path, device: str) -> torch.nn.Module:
    from torch.export.passes import move_to_device_pass

    program = load_program(path)
    return (move_to_device_pass(program, device) if device != "cpu" else program).module()


BACKEND = TorchExport()
