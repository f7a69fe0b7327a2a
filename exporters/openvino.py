"""OpenVINO's IR (`model.xml` and `model.bin`) from the ONNX artifact of the same checkpoint.

fp32 and bf16 hold fp32 weights: the backend asks the runtime to compute in what the artifact says. fp16 holds fp16 weights. int8-dynamic
comes from the ONNX artifact of that precision. int8-static is calibrated here, from the fp32 graph: with signed activations, which the ONNX
artifact has for TensorRT's sake, OpenVINO loses more on processors without VNNI, and a limit on mIoU must be held in the runtime that runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import ARTIFACT_FILE, Artifact, read_artifact
from harness.core.errors import ConfigError, ExportError
from harness.core.files import atomic_folder, sha256_of_file, write_value
from harness.core.leftovers import marked
from harness.core.registry import missing_package
from harness.support import openvino_run
from harness.support.export_data import CONTEXT, Context, read_tiles
from harness.support.export_network import folded, judged, reference, val_tiles
from harness.support.export_settings import INT8_STATIC, NO_LIMIT, settings_from

if TYPE_CHECKING:
    from harness.support.agreement import Reference

FILE, WEIGHTS = "model.xml", "model.bin"
#: Largest relative difference of a logit in fp32.
TOLERANCE = 1e-4


class OpenVinoExporter:
    source = "onnx"
    format = "openvino"
    precisions = ("fp32", "fp16", "bf16", "int8-dynamic", "int8-static")
    unsupported: Mapping[str, str] = {}
    sources: Mapping[str, str] = {"fp32": "fp32", "fp16": "fp32", "bf16": "fp32", "int8-dynamic": "int8-dynamic", "int8-static": "fp32"}

    def unavailable(self) -> str | None:
        try:
            import openvino  # noqa: F401
            import torch  # noqa: F401
        except ModuleNotFoundError as error:
            return str(missing_package("exporter openvino", error))
        return None

    def settings(self, precision: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of int8-static; all others are given to the ONNX artifact. Raises ConfigError for an unknown one or a wrong value."""
        return settings_from(f"openvino {precision}", INT8_STATIC["openvino"] if precision == "int8-static" else {}, options)

    def export(self, source: Path, *, precision: str, out: Path, options: Mapping[str, Any]) -> Artifact:
        """Convert the ONNX artifact in `source`. Options: those of its `settings`, and a `Context` with the checkpoint's folder.

        Raises UnavailableError where this processor can't compute in the precision, so that nothing could be checked; ExportError;
        ParityError; DataError without the tiles that it needs.
        """
        from harness.support.model import model_from_checkpoint

        settings = self.settings(precision, options)
        context: Context | None = options.get(CONTEXT)
        if context is None:
            raise ConfigError("openvino is judged against the checkpoint, and its folder was not given", "harness export CHECKPOINT --to openvino")
        openvino_run.require_precision(precision)
        graph = read_artifact(source)
        tiles = val_tiles(context, graph.checkpoint, precision)
        network = folded(model_from_checkpoint(context.checkpoint))
        known = reference(network, tiles)
        with atomic_folder(out) as folder:
            if precision == "int8-static" and known is not None:
                settings = settings | _write_int8(source / graph.file, folder / FILE, graph, settings, context, known)
            else:
                _write(source / graph.file, folder / FILE, half=precision == "fp16")
            run, least, max_drop = openvino_run.runner(folder / FILE, precision), context.min_agreement, settings.get("max_miou_drop", NO_LIMIT)
            parity = judged(run, network, graph.checkpoint, precision=precision, known=known, tolerance=TOLERANCE, least=least, max_drop=max_drop)
            artifact = graph.model_copy(
                update={
                    "format": self.format,
                    "precision": precision,
                    "file": FILE,
                    "sha256": sha256_of_file(folder / FILE),
                    "files": {WEIGHTS: sha256_of_file(folder / WEIGHTS)},
                    "size": sum(file.stat().st_size for file in folder.iterdir()),
                    "exporter": "openvino",
                    "options": {**graph.options, **settings, "source_sha256": graph.sha256},
                    "tool_versions": {**graph.tool_versions, "openvino": openvino_run.version()},
                    "parity": parity,
                }
            )
            write_value(folder / ARTIFACT_FILE, artifact)
        return artifact


def _write_int8(source: Path, target: Path, graph: Artifact, settings: Mapping[str, Any], context: Context, known: Reference) -> dict[str, Any]:
    """Calibrate the fp32 graph and write it; returns how, for the artifact's options."""
    from harness.support.onnx_convert import Conversion, converted

    with tempfile.TemporaryDirectory(prefix=marked("harness-")) as folder:
        run, calibration = partial(openvino_run.runner, precision="int8-static"), partial(read_tiles, context, graph.checkpoint, "train")
        given = Conversion(source, graph.inputs, graph.checkpoint, context, run, known, calibration)
        facts = converted(given, Path(folder) / "model.onnx", "int8-static", settings)
        _write(Path(folder) / "model.onnx", target, half=False)
    return facts


def _write(source: Path, target: Path, *, half: bool) -> None:
    import openvino

    try:
        openvino.save_model(openvino.Core().read_model(str(source)), str(target), compress_to_fp16=half)
    except RuntimeError as error:
        raise ExportError(
            f"OpenVINO cannot read {source}: {str(error).strip().splitlines()[-1][:300]}", "harness profile with --backends onnxruntime"
        ) from error


EXPORTER = OpenVinoExporter()
