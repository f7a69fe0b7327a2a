"""PyTorch through torch.compile (inductor). Compiling happens in the first call of each input shape, which the latency probe takes apart."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.core.artifact import Artifact
from harness.core.errors import MeasurementError, UnavailableError
from harness.core.ports import Session
from harness.support.backend_options import chosen
from harness.support.torch_session import TorchSession, prepare_torch, torch_unavailable

#: "reduce-overhead" is CUDA graphs; it needs a GPU.
OPTIONS: Mapping[str, Any] = {"mode": ("default", "reduce-overhead", "max-autotune"), "tf32": False}


class CompiledSession(TorchSession):
    """A compiled network: what the compiler refuses is a failed measurement, not a crash."""

    def run(self) -> None:
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import InductorError

        try:
            super().run()
        except (TorchDynamoException, InductorError) as error:
            reason = str(error).strip().partition("\n")[0][:300]
            raise MeasurementError(f"torch.compile cannot compile the model: {reason}", "--backends torch_eager") from error

    def facts(self) -> Mapping[str, Any]:
        return {**super().facts(), "compiler": "inductor"}


class TorchCompile:
    formats = ("checkpoint",)
    devices = ("cpu", "cuda")
    is_default = False
    #: Another batch is compiled anew, so tiles are scored with the one that is timed.
    is_bound_to_shape = True

    def unavailable(self, device: str = "cpu") -> str | None:
        return torch_unavailable("backend torch_compile", device) or _no_compiler(device)

    def lacks(self, precision: str, device: str = "cpu") -> str | None:
        return self.unavailable(device) or (None if precision == "fp32" else "it compiles the trained checkpoint as it is, in fp32")

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return chosen("torch_compile", OPTIONS, options)

    def import_model(self, artifact: Artifact) -> None:
        """Import the compiler and what builds the network, so that loading it is not charged with imports."""
        from harness.support.model import specs_of

        with contextlib.suppress(ImportError):  # the compiler's modules are PyTorch's own affair, so another release may keep them elsewhere
            importlib.import_module("torch._inductor.compile_fx")

        specs_of(artifact.checkpoint.model)

    @contextlib.contextmanager
    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> Iterator[Session]:
        reason = self.unavailable(device)
        if reason:
            raise UnavailableError(reason, "harness doctor")
        import torch

        from harness.support.model import model_from_checkpoint

        settings = self.settings(options)
        if settings["mode"] == "reduce-overhead" and device == "cpu":
            raise UnavailableError("torch.compile's mode reduce-overhead is CUDA graphs, and this cell runs on the CPU", "mode: default")
        prepare_torch(threads, tf32=settings["tf32"])
        torch.compiler.reset()
        network = model_from_checkpoint(folder).to(device)
        network.compile(dynamic=False, mode=settings["mode"])
        yield CompiledSession(network, device)


def _no_compiler(device: str) -> str | None:
    """Why inductor can't write code here: on a CPU it calls a C++ compiler, on a GPU Triton."""
    from torch._inductor import exc
    from torch.utils._triton import has_triton

    if device == "cuda":
        return None if has_triton() else "torch.compile on a GPU needs Triton; pip install triton"
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        return "torch.compile on a CPU needs a C++ compiler, and there is none; apt install g++, or set CXX"
    return None


BACKEND = TorchCompile()
