"""A TensorRT engine from the ONNX artifact of the same checkpoint. Precision lies in the graph: networks are strongly typed.

The plan is bound to one TensorRT version and one GPU, both of which are recorded, unless it was built for more. On a machine without a
GPU a plan can be built by TensorRT-RTX, but not run, so such an artifact holds no parity.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.artifact import ARTIFACT_FILE, Artifact, read_artifact
from harness.core.files import atomic_folder, cache_folder, sha256_of_file, write_atomic, write_value
from harness.core.registry import missing_package
from harness.support import tensorrt_build
from harness.support.export_settings import ENGINE, settings_from

FILE = "model.plan"


class TensorRtExporter:
    source = "onnx"
    format = "tensorrt"
    precisions = ("fp32", "fp16", "bf16", "int8-static")
    unsupported: Mapping[str, str] = {"int8-dynamic": "TensorRT's parser takes no DynamicQuantizeLinear; use int8-static"}
    sources: Mapping[str, str] = {precision: precision for precision in precisions}

    def unavailable(self) -> str | None:
        try:
            import tensorrt  # noqa: F401
        except ModuleNotFoundError as error:
            return str(missing_package("exporter tensorrt", error))
        return tensorrt_build.no_gpu()

    def settings(self, precision: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """All settings of the build. Raises ConfigError for an unknown one, a wrong value, or batches that are not in order."""
        found = settings_from(f"{self.format} {precision}", ENGINE, options)
        tensorrt_build.require_batches(found["opt_batch"], found["max_batch"])
        return found

    def export(self, source: Path, *, precision: str, out: Path, options: Mapping[str, Any]) -> Artifact:
        """Build the engine of the ONNX artifact in `source`. Raises ExportError with the parser's own words, node by node."""
        settings = self.settings(precision, options)
        graph = read_artifact(source)
        timings = cache_folder() / "tensorrt" / f"{tensorrt_build.machine()}.timings"
        built = tensorrt_build.build(source / graph.file, graph.inputs, settings, timings=timings.read_bytes() if timings.is_file() else b"")
        write_atomic(timings, built.timings)
        with atomic_folder(out) as folder:
            write_atomic(folder / FILE, built.plan)
            artifact = graph.model_copy(
                update={
                    "format": self.format,
                    "precision": precision,
                    "file": FILE,
                    "files": {},
                    "sha256": sha256_of_file(folder / FILE),
                    "size": len(built.plan),
                    "exporter": "tensorrt",
                    "options": {**graph.options, **settings, "source_sha256": graph.sha256, **built.bound_to},
                    "tool_versions": {**graph.tool_versions, "tensorrt": built.bound_to["tensorrt"]},
                    "parity": {},
                }
            )
            write_value(folder / ARTIFACT_FILE, artifact)
        return artifact


EXPORTER = TensorRtExporter()
