"""TensorRT 11's builder: an ONNX file to a serialized engine (a plan). Nothing here runs a plan, so nothing here needs a GPU but the build."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import ConfigError, ExportError
from harness.core.specs import TensorSpec
from harness.support.gpu import gpu

#: Parser errors that are listed.
LISTED = 5


@dataclass(frozen=True)
class Built:
    """A plan, the timing cache after it, and what the plan is bound to: version of TensorRT, GPU, compute capability."""

    plan: bytes
    timings: bytes
    bound_to: dict[str, str]


def require_batches(opt: int, largest: int) -> None:
    if opt > largest:
        raise ConfigError(f"opt_batch {opt} is larger than max_batch {largest}", f"--max-batch {opt}")


def no_gpu() -> str | None:
    """Why no engine can be built here: TensorRT times kernels on the GPU that it builds for."""
    found = gpu()
    return f"TensorRT builds on the GPU that it builds for: {found}" if isinstance(found, str) else None


def _gpu_or(nothing: str) -> tuple[str, str]:
    found = gpu()
    return (nothing, nothing) if isinstance(found, str) else found


def bound_to(settings: Mapping[str, Any]) -> dict[str, str]:
    """What a plan that is built here now would be bound to."""
    import tensorrt

    name, capability = _gpu_or("none")
    compatible = settings["hardware_compatible"]
    return {"tensorrt": str(tensorrt.__version__), "gpu": name, "compute_capability": capability, "runs_on": compatible}


def refusal(options: Mapping[str, Any]) -> str | None:
    """Why a plan with these options is not loaded here, None when it may be: asked before TensorRT sees its bytes."""
    import tensorrt

    made, here = str(options.get("tensorrt", "")), str(tensorrt.__version__)
    same_major = made.partition(".")[0] == here.partition(".")[0]
    is_newer = [int(part) for part in re.findall(r"\d+", here)] >= [int(part) for part in re.findall(r"\d+", made)]
    if made != here and not (options.get("version_compatible") and same_major and is_newer):
        return f"the engine was built with TensorRT {made or 'unknown'}, this is {here}"
    found = gpu()
    if isinstance(found, str):
        return found
    name, capability = found
    kind, was = options.get("runs_on", "none"), str(options.get("compute_capability", ""))
    fits = {
        "none": options.get("gpu") == name and was == capability,
        "same_compute_capability": was == capability,
        "ampere_plus": float(capability) >= 8.0,
    }
    return None if fits.get(kind, False) else f"the engine was built for {options.get('gpu')} (compute capability {was}), this is {name} ({capability})"


def machine() -> str:
    """A name for what timings depend on: version of TensorRT and GPU."""
    import tensorrt

    name, capability = _gpu_or("none")
    return re.sub(r"[^a-z0-9.]+", "-", f"{tensorrt.__version__}-{name}-{capability}".lower())


def build(path: Path, inputs: Sequence[TensorSpec], settings: Mapping[str, Any], *, timings: bytes = b"") -> Built:
    """Parse and build. The optimization profile spans batches from 1 over `opt_batch` to `max_batch`.

    Raises ExportError with what the parser or the builder said.
    """
    import tensorrt as trt

    logger = _logger()
    builder = trt.Builder(logger)
    network = builder.create_network()
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        raise ExportError(f"TensorRT cannot parse {path.name}: {'; '.join(_errors(parser))}", "--to onnx, and run it in ONNX Runtime")
    config = _config(builder, settings)
    config.add_optimization_profile(_profile(builder, inputs, settings))
    cache = config.create_timing_cache(timings)
    config.set_timing_cache(cache, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(f"TensorRT cannot build {path.name}: {'; '.join(logger.errors[-LISTED:]) or 'it gave no reason'}", "a smaller --max-batch")
    return Built(bytes(plan), bytes(config.get_timing_cache().serialize()), bound_to(settings))


def _config(builder: Any, settings: Mapping[str, Any]) -> Any:
    import tensorrt as trt

    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings["workspace_mb"] * 2**20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if settings["tf32"]:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    if settings["version_compatible"]:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if settings["hardware_compatible"] != "none":
        config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, settings["hardware_compatible"].upper())
    return config


def _profile(builder: Any, inputs: Sequence[TensorSpec], settings: Mapping[str, Any]) -> Any:
    profile = builder.create_optimization_profile()
    for spec in inputs:
        shapes = [tuple(batch if isinstance(side, str) else side for side in spec.shape) for batch in (1, settings["opt_batch"], settings["max_batch"])]
        profile.set_shape(spec.name, *shapes)
    return profile


def _errors(parser: Any) -> list[str]:
    found = [parser.get_error(index) for index in range(parser.num_errors)]
    words = [f"{error.node_name() or 'the graph'} ({error.node_operator() or '?'}): {error.desc()}" for error in found[:LISTED]]
    return words + [f"and {len(found) - LISTED} more"] * (len(found) > LISTED) or ["it gave no reason"]


def _logger() -> Any:
    """A logger that keeps errors for the message and prints nothing."""
    import tensorrt as trt

    class Kept(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message.strip())

    return Kept()
