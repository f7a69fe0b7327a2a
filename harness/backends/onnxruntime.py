"""ONNX Runtime. The provider that was asked for is the one that runs, or opening fails: it never falls back in silence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import Artifact
from harness.core.errors import MeasurementError, UnavailableError
from harness.core.ports import Session
from harness.core.registry import missing_package

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeSession:
    """An inference session with inputs and outputs bound on the device."""

    def __init__(self, session: onnxruntime.InferenceSession, device: str) -> None:
        self._session, self._device = session, device
        self._binding = session.io_binding()
        self._kept: list[onnxruntime.OrtValue] = []

    def bind(self, inputs: Sequence[np.ndarray]) -> None:
        import onnxruntime

        self._kept = [onnxruntime.OrtValue.ortvalue_from_numpy(value, self._device, 0) for value in inputs]
        for spec, value in zip(self._session.get_inputs(), self._kept, strict=True):
            self._binding.bind_ortvalue_input(spec.name, value)
        for output in self._session.get_outputs():
            self._binding.bind_output(output.name, self._device)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def sync(self) -> None:
        self._binding.synchronize_outputs()

    def outputs(self) -> list[np.ndarray]:
        return [value.astype("float32", copy=False) for value in self._binding.copy_outputs_to_cpu()]

    def facts(self) -> Mapping[str, Any]:
        import onnxruntime

        options = self._session.get_session_options()
        return {
            "onnxruntime": onnxruntime.__version__,
            "provider": self._session.get_providers()[0],
            "intra_op_threads": options.intra_op_num_threads,
            "graph_optimization": str(options.graph_optimization_level).rpartition(".")[2],
        }


class OnnxRuntime:
    formats = ("onnx",)
    devices = ("cpu", "cuda")
    is_default = True

    def unavailable(self, device: str = "cpu") -> str | None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            return missing_package("backend onnxruntime", error).__str__()
        if PROVIDERS[device] not in onnxruntime.get_available_providers():
            return f"onnxruntime {onnxruntime.__version__} has no {PROVIDERS[device]}; pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        return None

    @contextlib.contextmanager
    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> Iterator[Session]:
        reason = self.unavailable(device)
        if reason:
            raise UnavailableError(reason, "harness doctor")
        yield OnnxRuntimeSession(_open(folder / artifact.file, device, threads), device)


def _open(path: Path, device: str, threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    if device != "cpu":
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    provider = PROVIDERS[device]
    provider_options = {"use_tf32": "0"} if device == "cuda" else {}
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=[(provider, provider_options)])
    except Exception as error:
        raise MeasurementError(f"ONNX Runtime cannot open {path}: {error}", "export it again with `harness export`") from error
    if session.get_providers()[0] != provider:
        raise MeasurementError(f"asked for {provider}, ONNX Runtime would run {session.get_providers()[0]}", "harness doctor")
    return session


BACKEND = OnnxRuntime()
