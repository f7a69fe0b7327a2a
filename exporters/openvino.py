"""OpenVINO's IR (`model.xml` and `model.bin`) from the ONNX artifact of the same checkpoint.

fp32 and bf16 hold fp32 weights: the backend asks the runtime to compute in what the artifact says. fp16 holds fp16 weights. int8 comes
from the Q/DQ graph of the ONNX artifact.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.artifact import ARTIFACT_FILE, Artifact, read_artifact
from harness.core.errors import ConfigError, ExportError
from harness.core.files import atomic_folder, sha256_of_file, write_value
from harness.core.registry import missing_package
from harness.support import openvino_run
from harness.support.export_data import CONTEXT, Context
from harness.support.export_network import folded, judged, same_logits
from harness.support.export_settings import settings_from

FILE, WEIGHTS = "model.xml", "model.bin"
#: Largest relative difference of a logit in fp32.
TOLERANCE = 1e-4


class OpenVinoExporter:
    source = "onnx"
    format = "openvino"
    precisions = ("fp32", "fp16", "bf16", "int8-dynamic", "int8-static")
    unsupported: Mapping[str, str] = {}
    sources: Mapping[str, str] = {"fp32": "fp32", "fp16": "fp32", "bf16": "fp32", "int8-dynamic": "int8-dynamic", "int8-static": "int8-static"}

    def unavailable(self) -> str | None:
        try:
            import openvino  # noqa: F401
            import torch  # noqa: F401
        except ModuleNotFoundError as error:
            return str(missing_package("exporter openvino", error))
        return None

    def settings(self, precision: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """It has none of its own: those of the ONNX artifact are given there. Raises ConfigError for any."""
        return settings_from(f"openvino {precision}", {}, options)

    def export(self, source: Path, *, precision: str, out: Path, options: Mapping[str, Any]) -> Artifact:
        """Convert the ONNX artifact in `source`. Option: a `Context` with the checkpoint's folder.

        Raises UnavailableError where this processor can't compute in the precision, so that nothing could be checked; ExportError;
        ParityError.
        """
        from harness.support.model import model_from_checkpoint

        self.settings(precision, options)
        context: Context | None = options.get(CONTEXT)
        if context is None:
            raise ConfigError("openvino is judged against the checkpoint, and its folder was not given", "harness export CHECKPOINT --to openvino")
        openvino_run.require_precision(precision)
        graph = read_artifact(source)
        network = folded(model_from_checkpoint(context.checkpoint))
        with atomic_folder(out) as folder:
            _write(source / graph.file, folder / FILE, half=precision == "fp16")
            run = openvino_run.runner(folder / FILE, precision)
            parity = same_logits(run, network, graph.checkpoint, name=FILE, tolerance=TOLERANCE) if precision == "fp32" else {}
            parity = {**judged(run, network, graph.checkpoint, precision=precision, context=context), **parity}
            artifact = graph.model_copy(
                update={
                    "format": self.format,
                    "precision": precision,
                    "file": FILE,
                    "sha256": sha256_of_file(folder / FILE),
                    "files": {WEIGHTS: sha256_of_file(folder / WEIGHTS)},
                    "size": sum(file.stat().st_size for file in folder.iterdir()),
                    "exporter": "openvino",
                    "options": {**graph.options, "source_sha256": graph.sha256},
                    "tool_versions": {**graph.tool_versions, "openvino": openvino_run.version()},
                    "parity": parity,
                }
            )
            write_value(folder / ARTIFACT_FILE, artifact)
        return artifact


def _write(source: Path, target: Path, *, half: bool) -> None:
    import openvino

    try:
        openvino.save_model(openvino.Core().read_model(str(source)), str(target), compress_to_fp16=half)
    except RuntimeError as error:
        raise ExportError(
            f"OpenVINO cannot read {source}: {str(error).strip().splitlines()[-1][:300]}", "harness profile with --backends onnxruntime"
        ) from error


EXPORTER = OpenVinoExporter()
