"""PyTorch, eager mode: the path that every other runtime is compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import Artifact
from harness.core.errors import UnavailableError
from harness.core.ports import Session
from harness.core.registry import missing_package

if TYPE_CHECKING:
    import numpy as np
    import torch


class TorchSession:
    """A network in eval mode on one device, in fp32, without TF32."""

    def __init__(self, network: torch.nn.Module, device: str) -> None:
        self._network, self._device = network, device
        self._inputs: list[torch.Tensor] = []
        self._output: torch.Tensor | None = None

    def bind(self, inputs: Sequence[np.ndarray]) -> None:
        import torch

        self._inputs = [torch.from_numpy(value).to(self._device) for value in inputs]
        self.sync()

    def run(self) -> None:
        import torch

        with torch.inference_mode():
            self._output = self._network(*self._inputs)

    def sync(self) -> None:
        if self._device == "cuda":
            import torch

            torch.cuda.synchronize()

    def outputs(self) -> list[np.ndarray]:
        assert self._output is not None, "outputs() before run()"
        return [self._output.float().cpu().numpy()]

    def facts(self) -> Mapping[str, Any]:
        import torch

        return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": self._device, "tf32": False}


class TorchEager:
    formats = ("checkpoint",)
    devices = ("cpu", "cuda")
    is_default = True

    def unavailable(self, device: str = "cpu") -> str | None:
        try:
            import torch
        except ModuleNotFoundError as error:
            return missing_package("backend torch_eager", error).__str__()
        if device == "cuda" and not torch.cuda.is_available():
            return f"torch {torch.__version__} sees no CUDA device; check the driver with nvidia-smi"
        return None

    @contextlib.contextmanager
    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> Iterator[Session]:
        reason = self.unavailable(device)
        if reason:
            raise UnavailableError(reason, "harness doctor")
        import torch

        from harness.support.model import model_from_checkpoint

        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        yield TorchSession(model_from_checkpoint(folder).to(device), device)


BACKEND = TorchEager()
