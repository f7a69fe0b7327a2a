"""OpenVINO on the CPU, over its IR or an ONNX graph. It computes in the artifact's precision, or opening fails: it never chooses by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.core.artifact import Artifact
from harness.core.errors import UnavailableError
from harness.core.layers import Look
from harness.core.ports import Clock, Session
from harness.core.registry import missing_package
from harness.support.backend_options import chosen

if TYPE_CHECKING:
    import openvino

OPTIONS: Mapping[str, Any] = {"hyper_threading": True, "cpu_pinning": True}


class OpenVinoSession:
    """One infer request; inputs are copied into its own tensors."""

    def __init__(self, model: openvino.CompiledModel) -> None:
        self._model = model
        self._request = model.create_infer_request()

    def bind(self, inputs: Sequence[np.ndarray]) -> None:
        import openvino

        for index, value in enumerate(inputs):
            self._request.set_input_tensor(index, openvino.Tensor(value))

    def run(self) -> None:
        # `infer()` would copy the outputs into the answer, inside the timed call; a request takes one call at a time.
        self._request.start_async()
        self._request.wait()

    def sync(self) -> None:
        return

    def outputs(self) -> list[np.ndarray]:
        found = [np.array(self._request.get_output_tensor(index).data) for index in range(len(self._model.outputs))]
        return [value.astype(np.float32, copy=False) if np.issubdtype(value.dtype, np.floating) else value for value in found]

    def facts(self) -> Mapping[str, Any]:
        from harness.support.openvino_run import version

        return {
            "openvino": version(),
            "device": str(self._model.get_property("EXECUTION_DEVICES")),
            "inference_precision": self._model.get_property("INFERENCE_PRECISION_HINT").get_type_name(),
            "inference_threads": int(self._model.get_property("INFERENCE_NUM_THREADS")),
            "streams": int(self._model.get_property("NUM_STREAMS")),
        }


class OpenVino:
    formats = ("openvino", "onnx")
    devices = ("cpu",)
    is_default = True

    def unavailable(self, device: str = "cpu") -> str | None:
        if device not in self.devices:
            return f"OpenVINO is used on the CPU only, not on {device}"
        try:
            import openvino  # noqa: F401
        except ModuleNotFoundError as error:
            return str(missing_package("backend openvino", error))
        return None

    def lacks(self, precision: str, device: str = "cpu") -> str | None:
        from harness.support.openvino_run import lacking

        return self.unavailable(device) or lacking(precision)

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return chosen("openvino", OPTIONS, options)

    @contextlib.contextmanager
    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> Iterator[Session]:
        reason = self.unavailable(device)
        if reason:
            raise UnavailableError(reason, "harness doctor")
        from harness.support.openvino_run import compiled

        yield OpenVinoSession(compiled(folder / artifact.file, artifact.precision, threads=threads, options=self._wanted(options)))

    def layers(
        self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any], inputs: Sequence[np.ndarray], runs: int,
        clock: Clock, work: Path,
    ) -> Look:  # fmt: skip
        """Time and FLOP per executed node, and how they were taken; the runtime has its own clock, and `work` is not needed."""
        from harness.support.onnx_origin import origin_of
        from harness.support.openvino_layers import COUNTERS, SOURCE, layers_of
        from harness.support.openvino_run import compiled

        model = compiled(folder / artifact.file, artifact.precision, threads=threads, options={**self._wanted(options), **COUNTERS})
        return Look(layers_of(model, inputs, origin_of(folder, artifact), runs=runs), SOURCE)

    def _wanted(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The settings by OpenVINO's names."""
        settings = self.settings(options)
        return {"ENABLE_HYPER_THREADING": settings["hyper_threading"], "ENABLE_CPU_PINNING": settings["cpu_pinning"]}


BACKEND = OpenVino()
