"""OpenVINO on the CPU: which precisions this processor computes in, a model compiled for one of them, and it as a function."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.core.errors import MeasurementError, UnavailableError

if TYPE_CHECKING:
    import openvino

    from harness.support.agreement import Run

#: What the runtime is told to compute in, by the artifact's precision; it would choose by itself otherwise. int8 is in the graph.
HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
#: What the processor must be able to do for it, as OpenVINO names it.
NEEDS = {"fp16": "FP16", "bf16": "BF16", "int8": "INT8"}


def version() -> str:
    import openvino

    return str(openvino.__version__).partition("-")[0]


def lacking(precision: str) -> str | None:
    """Why this processor can't compute in the precision under OpenVINO, None when it can."""
    import openvino

    kind = precision.partition("-")[0]
    if kind not in {"fp32", *NEEDS}:
        return f"OpenVINO has no {precision}"
    core = openvino.Core()
    can = sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    if kind in NEEDS and NEEDS[kind] not in can:
        return f"OpenVINO on this processor ({core.get_property('CPU', 'FULL_DEVICE_NAME')}) computes in {', '.join(can)}, not in {NEEDS[kind]}"
    return None


def require_precision(precision: str) -> None:
    reason = lacking(precision)
    if reason:
        raise UnavailableError(f"unsupported: {reason}", "harness doctor")


def compiled(path: Path, precision: str, *, threads: int = 0, options: Mapping[str, Any] | None = None) -> openvino.CompiledModel:
    """The model in `path` for low latency on `threads` cores (0: all), computing in `precision` and in nothing else.

    Raises UnavailableError for a precision that this processor lacks, MeasurementError for a file that OpenVINO can't compile, or when
    it would compute in another precision than asked for.
    """
    import openvino

    require_precision(precision)
    hint = HINTS.get(precision, "f32")
    wanted = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": hint, **(options or {})}
    if threads:
        wanted["INFERENCE_NUM_THREADS"] = threads
    try:
        model = openvino.Core().compile_model(str(path), "CPU", wanted)
    except RuntimeError as error:
        raise MeasurementError(f"OpenVINO cannot open {path}: {str(error).strip().splitlines()[-1][:300]}", "export it again") from error
    used = model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if used != hint:
        raise MeasurementError(f"asked OpenVINO to compute in {hint}, it would compute in {used}", "harness doctor")
    return model


def runner(path: Path, precision: str) -> Run:
    """Logits (B, K, H, W) float32 of images."""
    request = compiled(path, precision).create_infer_request()

    def run(images: np.ndarray) -> np.ndarray:
        return np.array(request.infer([images])[0], np.float32)

    return run
