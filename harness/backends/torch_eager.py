"""PyTorch, eager mode: the path that every other runtime is compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import Artifact
from harness.core.errors import UnavailableError
from harness.core.layers import Look
from harness.core.ports import Clock, Session
from harness.support.backend_options import chosen
from harness.support.torch_session import TorchSession, prepare_torch, torch_unavailable

if TYPE_CHECKING:
    import numpy as np

OPTIONS: Mapping[str, Any] = {"tf32": False}


class TorchEager:
    formats = ("checkpoint",)
    devices = ("cpu", "cuda")
    is_default = True

    def unavailable(self, device: str = "cpu") -> str | None:
        return torch_unavailable("backend torch_eager", device)

    def lacks(self, precision: str, device: str = "cpu") -> str | None:
        return self.unavailable(device) or (None if precision == "fp32" else "it runs the trained checkpoint as it is, in fp32")

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return chosen("torch_eager", OPTIONS, options)

    def import_model(self, artifact: Artifact) -> None:
        """Import what builds the network, so that loading it is not charged with imports."""
        from harness.support.model import specs_of

        specs_of(artifact.checkpoint.model)

    @contextlib.contextmanager
    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> Iterator[Session]:
        reason = self.unavailable(device)
        if reason:
            raise UnavailableError(reason, "harness doctor")
        from harness.support.model import model_from_checkpoint

        settings = self.settings(options)
        prepare_torch(threads, tf32=settings["tf32"])
        yield TorchSession(model_from_checkpoint(folder).to(device), device)

    def layers(
        self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any], inputs: Sequence[np.ndarray], runs: int,
        clock: Clock, work: Path,
    ) -> Look:  # fmt: skip
        """Time and FLOP per module; `work` is not needed."""
        import torch

        from harness.support.model import model_from_checkpoint
        from harness.support.torch_layers import SOURCE, layers
        from harness.support.weight_parts import weights_of_checkpoint

        prepare_torch(threads, tf32=self.settings(options)["tf32"])
        network = model_from_checkpoint(folder).to(device)
        tensors = [torch.from_numpy(value).to(device) for value in inputs]
        rows = layers(network, tensors, runs=runs, clock=clock, sync=torch.cuda.synchronize if device == "cuda" else lambda: None)
        return Look(rows, SOURCE, weights_of_checkpoint(folder / artifact.file))


BACKEND = TorchEager()
