"""TensorRT's own runtime over a plan. A plan of another version or GPU is refused before TensorRT sees its bytes.

Buffers lie in PyTorch's GPU memory; a CUDA graph is captured per input shape where it is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import Artifact
from harness.core.errors import MeasurementError, UnavailableError
from harness.core.layers import Look
from harness.core.ports import Clock, Session
from harness.core.registry import missing_package
from harness.support.backend_options import chosen
from harness.support.torch_session import seconds_on, torch_unavailable

if TYPE_CHECKING:
    import numpy as np
    import torch

OPTIONS: Mapping[str, Any] = {"cuda_graph": False}


class TensorRtSession:
    """One execution context on a stream of its own: TensorRT waits for the device after each call on the default one."""

    def __init__(self, engine: Any, *, cuda_graph: bool) -> None:
        import torch

        self._engine, self._context = engine, engine.create_execution_context()
        self._stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._wants_graph = cuda_graph
        self._graph: torch.cuda.CUDAGraph | None = None
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self._inputs = [name for name in names if str(engine.get_tensor_mode(name)).endswith("INPUT")]
        self._outputs = [name for name in names if name not in self._inputs]
        self._buffers: dict[str, torch.Tensor] = {}

    def bind(self, inputs: Sequence[np.ndarray]) -> None:
        import torch

        for name, value in zip(self._inputs, inputs, strict=True):
            kept = self._buffers.get(name)
            if kept is None or tuple(kept.shape) != value.shape:
                self._take(name, value.shape)
            self._buffers[name].copy_(torch.from_numpy(value))
        torch.cuda.synchronize()

    def _take(self, name: str, shape: tuple[int, ...]) -> None:
        """Room for an input of a new shape, and for the outputs that follow from it."""
        import torch

        if not self._context.set_input_shape(name, shape):
            raise MeasurementError(f"the engine takes no input of shape {shape}", "export it again with a larger --max-batch")
        self._graph = None
        self._place(name, shape, torch.float32)
        if self._context.infer_shapes():
            return
        for output in self._outputs:
            kind = {"FLOAT": torch.float32, "HALF": torch.float16}[str(self._engine.get_tensor_dtype(output)).rpartition(".")[2]]
            self._place(output, tuple(self._context.get_tensor_shape(output)), kind)

    def _place(self, name: str, shape: tuple[int, ...], kind: torch.dtype) -> None:
        import torch

        self._buffers[name] = torch.empty(shape, dtype=kind, device="cuda")
        self._context.set_tensor_address(name, self._buffers[name].data_ptr())

    def run(self) -> None:
        if self._graph is not None:
            self._graph.replay()
            return
        self._launch()
        if self._wants_graph:
            self._capture()

    def _launch(self) -> None:
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise MeasurementError("TensorRT could not launch the engine", "harness doctor")

    def _capture(self) -> None:
        import torch

        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            self._launch()
        self._graph = graph

    def sync(self) -> None:
        import torch

        # A graph is replayed on the current stream.
        torch.cuda.current_stream().synchronize()
        self._stream.synchronize()

    def device_seconds(self) -> float:
        import torch

        return seconds_on(self._stream if self._graph is None else torch.cuda.current_stream(), self.run)

    def reset_device_peak(self) -> None:
        import torch

        torch.cuda.reset_peak_memory_stats()

    def device_peak(self) -> tuple[int, Mapping[str, Any]]:
        import torch

        held = {**self._sizes(), "buffers": torch.cuda.max_memory_allocated()}
        return sum(held.values()), {"source": "what the engine says it takes, and PyTorch's peak for inputs and outputs", **held}

    def _sizes(self) -> dict[str, int]:
        import tensorrt

        weights = self._engine.get_engine_stat(tensorrt.EngineStat.TOTAL_WEIGHTS_SIZE)
        return {"activation_bytes": self._engine.device_memory_size_v2, "weight_bytes": weights}

    def attach(self, profiler: Any) -> None:
        """Let a profiler see every layer of the calls that follow; the context holds no reference of its own to it."""
        self._profiler = self._context.profiler = profiler

    def outputs(self) -> list[np.ndarray]:
        return [self._buffers[name].float().cpu().numpy() for name in self._outputs]

    def facts(self) -> Mapping[str, Any]:
        import tensorrt

        return {
            "tensorrt": tensorrt.__version__,
            **self._sizes(),
            "cuda_graph": self._wants_graph,
        }


class TensorRt:
    formats = ("tensorrt",)
    devices = ("cuda",)
    is_default = True

    def unavailable(self, device: str = "cuda") -> str | None:
        if device != "cuda":
            return f"TensorRT runs on NVIDIA GPUs, not on {device}"
        try:
            import tensorrt  # noqa: F401
        except ModuleNotFoundError as error:
            return str(missing_package("backend tensorrt", error))
        return torch_unavailable("backend tensorrt", device)

    def lacks(self, precision: str, device: str = "cuda") -> str | None:
        return self.unavailable(device) or ("TensorRT's parser takes no DynamicQuantizeLinear" if precision == "int8-dynamic" else None)

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return chosen("tensorrt", OPTIONS, options)

    @contextlib.contextmanager
    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> Iterator[Session]:
        settings = self.settings(options)
        yield TensorRtSession(self._checked_engine(folder, artifact, device), cuda_graph=settings["cuda_graph"])

    def layers(
        self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any], inputs: Sequence[np.ndarray], runs: int,
        clock: Clock, work: Path,
    ) -> Look:  # fmt: skip
        """Time and FLOP per layer, and how they were taken; the runtime has its own clock, and `work` is not needed."""
        from harness.support.onnx_origin import origin_of
        from harness.support.tensorrt_layers import SOURCE, information, layers_from_inspector, profiler

        engine = self._checked_engine(folder, artifact, device)
        session = TensorRtSession(engine, cuda_graph=False)
        session.bind(inputs)
        session.run()
        session.sync()
        kept = profiler()
        session.attach(kept)
        for _ in range(runs):
            session.run()
            session.sync()
        rows = layers_from_inspector(information(engine), kept.seconds, origin_of(folder, artifact), len(inputs[0]))
        return Look(rows, SOURCE)

    def _checked_engine(self, folder: Path, artifact: Artifact, device: str) -> Any:
        """The engine, if it was made for here. Raises UnavailableError or MeasurementError."""
        reason = self.unavailable(device)
        if reason:
            raise UnavailableError(reason, "harness doctor")
        from harness.support.tensorrt_build import refusal

        reason = refusal(artifact.options)
        if reason:
            raise MeasurementError(f"{folder / artifact.file} is not loaded: {reason}", "export it again on this machine with --to tensorrt")
        return _engine(folder / artifact.file, is_version_compatible=bool(artifact.options.get("version_compatible")))


def _engine(path: Path, *, is_version_compatible: bool) -> Any:
    import tensorrt as trt

    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    # Such a plan brings a runtime of its own as code for the CPU, and is refused where that is not allowed.
    runtime.engine_host_code_allowed = is_version_compatible
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise MeasurementError(f"TensorRT cannot read the engine {path}: it is cut short, or of another version", "export it again with --to tensorrt")
    return engine


BACKEND = TensorRt()
