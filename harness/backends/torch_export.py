"""PyTorch over a `.pt2` file of torch.export: the program as it was exported, run node by node."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import Artifact
from harness.core.errors import MeasurementError, UnavailableError
from harness.core.ports import Session
from harness.core.registry import missing_package
from harness.support.backend_options import chosen

if TYPE_CHECKING:
    import numpy as np
    import torch


class ProgramSession:
    """An exported program's module on one device, without TF32."""

    def __init__(self, module: torch.nn.Module, device: str) -> None:
        self._module, self._device = module, device
        self._inputs: list[torch.Tensor] = []
        self._outputs: tuple[torch.Tensor, ...] = ()

    def bind(self, inputs: Sequence[np.ndarray]) -> None:
        import torch

        self._inputs = [torch.from_numpy(value).to(self._device) for value in inputs]
        self.sync()

    def run(self) -> None:
        import torch

        with torch.inference_mode():
            found = self._module(*self._inputs)
        values = found.values() if isinstance(found, dict) else found if isinstance(found, (tuple, list)) else (found,)
        self._outputs = tuple(value for value in values if isinstance(value, torch.Tensor))

    def sync(self) -> None:
        if self._device == "cuda":
            import torch

            torch.cuda.synchronize()

    def outputs(self) -> list[np.ndarray]:
        return [output.float().cpu().numpy() for output in self._outputs]

    def facts(self) -> Mapping[str, Any]:
        import torch

        return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": self._device, "tf32": False}


class TorchExport:
    formats = ("pt2",)
    devices = ("cpu", "cuda")
    is_default = True

    def unavailable(self, device: str = "cpu") -> str | None:
        try:
            import torch
        except ModuleNotFoundError as error:
            return str(missing_package("backend torch_export", error))
        if device == "cuda" and not torch.cuda.is_available():
            return f"torch {torch.__version__} sees no CUDA device; check the driver with nvidia-smi"
        return None

    def lacks(self, precision: str, device: str = "cpu") -> str | None:
        return self.unavailable(device) or (None if precision in ("fp32", "fp16", "bf16") else f"a .pt2 program holds no {precision}")

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return chosen("torch_export", {}, options)

    @contextlib.contextmanager
    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> Iterator[Session]:
        reason = self.unavailable(device)
        if reason:
            raise UnavailableError(reason, "harness doctor")
        import torch

        self.settings(options)
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        yield ProgramSession(_module(folder / artifact.file, device), device)


def _module(path: Path, device: str) -> torch.nn.Module:
    import torch
    from torch.export.passes import move_to_device_pass

    try:
        program = torch.export.load(str(path))
    except (RuntimeError, ValueError, KeyError, OSError, AssertionError, zipfile.BadZipFile) as error:
        raise MeasurementError(f"torch.export cannot load {path}: {error}", "export it again with the installed torch") from error
    return (move_to_device_pass(program, device) if device != "cpu" else program).module()


BACKEND = TorchExport()
