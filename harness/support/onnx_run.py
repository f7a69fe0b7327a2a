"""ONNX Runtime on the CPU as a function from images to logits, for exporters: no timing, no tuning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.core.errors import ExportError
from harness.support.onnx_providers import failures, refused

if TYPE_CHECKING:
    from harness.support.agreement import Run


def runner(path: Path) -> Run:
    """Logits (B, K, H, W) float32 of images by the graph in `path`. Raises ExportError where ONNX Runtime can't load it."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except failures() as error:
        raise ExportError(refused(Path(path.name), error)[0], "another --precision or --opset") from error
    name = session.get_inputs()[0].name

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {name: images})[0], np.float32)

    return run
