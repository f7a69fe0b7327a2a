"""ONNX Runtime. The provider that was asked for is the one that runs, or opening fails: it never falls back in silence."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import Artifact
from harness.core.errors import MeasurementError, UnavailableError
from harness.core.layers import Look
from harness.core.ports import Clock, Session
from harness.support.backend_options import chosen
from harness.support.onnx_providers import NAMES, device_of, lacking, missing, nodes_by_provider, require_possible, session_on

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime

#: `provider` "": the device's own. `arena`: keep freed memory for the next call. `cuda_graph`: replay the launches of the first calls.
#: `engine_cache`: the folder in which the TensorRT providers keep built engines and timings; "": none.
OPTIONS: Mapping[str, Any] = {
    "graph_optimization": ("all", "extended", "basic", "disable"),
    "arena": True,
    "provider": ("", *NAMES),
    "cuda_graph": False,
    "tf32": False,
    "engine_cache": "",
}
X86 = ("x86_64", "amd64")
_LEVELS = {"all": "ORT_ENABLE_ALL", "extended": "ORT_ENABLE_EXTENDED", "basic": "ORT_ENABLE_BASIC", "disable": "ORT_DISABLE_ALL"}


class OnnxRuntimeSession:
    """An inference session with inputs and outputs bound on the device.

    With `fixed` addresses, which CUDA graphs need, inputs are written where the first of their shape were, and outputs are kept.
    """

    def __init__(self, session: onnxruntime.InferenceSession, device: str, *, fixed: bool = False) -> None:
        self._session, self._device, self._fixed = session, device, fixed
        self._binding = session.io_binding()
        self._kept: list[onnxruntime.OrtValue] = []

    def bind(self, inputs: Sequence[np.ndarray]) -> None:
        import onnxruntime

        if self._fixed and [tuple(value.shape()) for value in self._kept] == [value.shape for value in inputs]:
            for kept, value in zip(self._kept, inputs, strict=True):
                kept.update_inplace(value)
            return
        self._kept = [onnxruntime.OrtValue.ortvalue_from_numpy(value, self._device, 0) for value in inputs]
        for spec, value in zip(self._session.get_inputs(), self._kept, strict=True):
            self._binding.bind_ortvalue_input(spec.name, value)
        for output in self._session.get_outputs():
            if self._fixed:
                shape = [inputs[0].shape[0], *output.shape[1:]]
                self._binding.bind_ortvalue_output(output.name, _empty(shape, output.type, self._device))
            else:
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
            "arena": options.enable_cpu_mem_arena,
            "provider_options": self._session.get_provider_options().get(self._session.get_providers()[0], {}),
            "nodes": nodes_by_provider(self._session),
        }


def _empty(shape: Sequence[int | str], kind: str, device: str) -> onnxruntime.OrtValue:
    """Room for an output. Raises MeasurementError where a side but the batch is open."""
    import numpy as np
    import onnxruntime

    open_sides = [side for side in shape if not isinstance(side, int)]
    if open_sides or kind not in ("tensor(float)", "tensor(float16)"):
        raise MeasurementError(f"a CUDA graph needs outputs of known shape and floats, got {kind} of {shape}", "runtime.options: {cuda_graph: false}")
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32 if kind == "tensor(float)" else np.float16, device, 0)


class OnnxRuntime:
    formats = ("onnx",)
    devices = ("cpu", "cuda")
    is_default = True

    def unavailable(self, device: str = "cpu") -> str | None:
        return missing(device)

    def providers(self) -> dict[str, str | None]:
        """Why each execution provider can't run here; None when it can."""
        return {name: missing(name) for name in NAMES}

    def lacks(self, precision: str, device: str = "cpu") -> str | None:
        if precision == "fp16" and device == "cpu" and platform.machine().lower() in X86:
            return self.unavailable(device) or "ONNX Runtime has no fp16 kernels for x86 processors: it would compute an fp16 graph in fp32"
        reasons = [lacking(provider, precision) for provider in NAMES if device_of(provider) == device]
        return self.unavailable(device) or (reasons[0] if all(reasons) else None)

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return chosen("onnxruntime", OPTIONS, options)

    @contextlib.contextmanager
    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> Iterator[Session]:
        settings = self.settings(options)
        provider = settings["provider"] or device
        require_possible(provider, device, settings)
        reason = missing(provider) or lacking(provider, artifact.precision)
        if reason:
            raise UnavailableError(reason, "harness doctor")
        session = _open(folder / artifact.file, provider, threads, settings)
        yield OnnxRuntimeSession(session, device, fixed=settings["cuda_graph"])

    def layers(
        self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any], inputs: Sequence[np.ndarray], runs: int,
        clock: Clock, work: Path,
    ) -> Look:  # fmt: skip
        """Time and FLOP per fused node; the runtime's trace goes to `work`, its clock is its own."""
        from harness.support.onnx_layers import SOURCE, layers_from_trace
        from harness.support.weight_parts import weights_of_onnx

        settings = {**self.settings(options), "cuda_graph": False}  # a graph that is replayed has no nodes to time
        session = _open(folder / artifact.file, settings["provider"] or device, threads, settings, trace=work / "trace")
        feed = {spec.name: value for spec, value in zip(session.get_inputs(), inputs, strict=True)}
        for _ in range(runs + 1):
            session.run(None, feed)
        rows = layers_from_trace(Path(session.end_profiling()), folder / artifact.file, runs=runs)
        return Look(rows, SOURCE, weights_of_onnx(folder / artifact.file))


def _open(path: Path, provider: str, threads: int, chosen_options: Mapping[str, Any], trace: Path | None = None) -> onnxruntime.InferenceSession:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    if trace is not None:
        settings.enable_profiling, settings.profile_file_prefix = True, str(trace)
    settings.enable_cpu_mem_arena = chosen_options["arena"]
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[chosen_options["graph_optimization"]])
    return session_on(provider, path, settings, chosen_options)


BACKEND = OnnxRuntime()
