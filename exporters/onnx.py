"""ONNX from a checkpoint by PyTorch's dynamo exporter: dynamic batch, normalization in the graph, argmax outside.

An artifact exists only after ONNX Runtime has reproduced the network's logits from it at two batch sizes. The other precisions are
made of the fp32 graph, and exist only when they decide like the network on val tiles.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness.core.artifact import ARTIFACT_FILE, Artifact, Checkpoint, read_checkpoint
from harness.core.errors import ConfigError, ExportError
from harness.core.files import atomic_folder, sha256_of_file, write_value
from harness.core.leftovers import marked
from harness.core.registry import missing_package
from harness.core.specs import names_of
from harness.support import onnx_run
from harness.support.export_data import CONTEXT, Context, read_tiles
from harness.support.export_network import EXAMPLE_BATCH, MAX_BATCH, example, folded, judged, reference, tensors_of, val_tiles
from harness.support.export_settings import FLOAT, INT8, INT8_STATIC, NO_LIMIT, OPSET, least_opset, settings_from

if TYPE_CHECKING:
    import torch

    from harness.support.agreement import Reference, Run
    from harness.support.model import SegmentationModel

#: Largest relative difference of a logit, max |onnx - torch| / max |torch|.
TOLERANCE = 1e-4
#: A protobuf file holds less than 2 GiB; larger weights go into a file beside it.
EXTERNAL_ABOVE = 1_800_000_000
FILE = "model.onnx"


#: The settings of each precision with their defaults.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "fp32": {"opset": OPSET},
    "fp16": {"opset": OPSET, **FLOAT},
    "bf16": {"opset": least_opset("bf16"), **FLOAT},
    "int8-dynamic": {"opset": OPSET, **INT8},
    "int8-static": {"opset": OPSET, **INT8_STATIC["onnx"]},
}


class OnnxExporter:
    source = "checkpoint"
    format = "onnx"
    precisions = tuple(SETTINGS)
    unsupported: Mapping[str, str] = {}
    sources: Mapping[str, str] = {}

    def unavailable(self) -> str | None:
        try:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
            import torch  # noqa: F401
        except ModuleNotFoundError as error:
            return str(missing_package("exporter onnx", error))
        return None

    def settings(self, precision: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """All settings that make the artifact's bytes. Raises ConfigError for one that the precision does not have, or a wrong value."""
        found = settings_from(f"{self.format} {precision}", SETTINGS[precision], options)
        oldest = least_opset(precision)
        if found["opset"] < oldest:
            why = "in which convolutions take bf16" if precision == "bf16" else "that the exporter writes soundly"
            raise ConfigError(f"opset {found['opset']} is older than {oldest}, the first {why}", f"--opset {oldest}")
        if found["opset"] > OPSET and found["opset"] > _newest_opset():
            raise ConfigError(f"opset {found['opset']} is newer than {_newest_opset()}, the last that the installed onnx knows", f"--opset {oldest}")
        return found

    def export(self, source: Path, *, precision: str, out: Path, options: Mapping[str, Any]) -> Artifact:
        """Export the checkpoint in `source`. Options: those of `SETTINGS`, and a `Context`, which every precision but fp32 needs.

        Raises ExportError when the exporter can't, or froze the batch; ParityError when the graph computes something else; DataError
        when the tiles to judge by are not there.
        """
        from harness.support.model import model_from_checkpoint

        settings = self.settings(precision, options)
        context: Context | None = options.get(CONTEXT)
        checkpoint = read_checkpoint(source)
        tiles = val_tiles(context, checkpoint, precision)
        network = folded(model_from_checkpoint(source))
        known = reference(network, tiles)
        with atomic_folder(out) as folder:
            if context is None or known is None or precision == "fp32":
                _write_graph(network, checkpoint, folder / FILE, precision, settings["opset"])
            else:
                settings = settings | _convert(network, checkpoint, folder / FILE, precision, settings, context, known)
            require_dynamic_batch(folder / FILE)
            run, least, max_drop = _runner(precision)(folder / FILE), context.min_agreement if context else None, settings.get("max_miou_drop", NO_LIMIT)
            parity = judged(run, network, checkpoint, precision=precision, known=known, tolerance=TOLERANCE, least=least, max_drop=max_drop)
            artifact = _describe(network, checkpoint, folder, options=settings, precision=precision, parity=parity)
            write_value(folder / ARTIFACT_FILE, artifact)
        return artifact


def _convert(
    network: SegmentationModel, checkpoint: Checkpoint, path: Path, precision: str, settings: Mapping[str, Any], context: Context, known: Reference
) -> dict[str, Any]:
    """Write the graph in another precision; returns how, for the artifact's options."""
    from harness.support.onnx_convert import Conversion, converted

    with tempfile.TemporaryDirectory(prefix=marked("harness-")) as folder:
        source = context.fp32_graph or Path(folder) / FILE
        if context.fp32_graph is None:
            _write_graph(network, checkpoint, source, precision, settings["opset"])
        inputs, external = tensors_of(checkpoint)["inputs"], _weight_bytes(network) > EXTERNAL_ABOVE
        calibration = partial(read_tiles, context, checkpoint, "train")
        given = Conversion(source, inputs, checkpoint, context, _runner(precision), known, calibration, external)
        return converted(given, path, precision, settings)


def _runner(precision: str) -> Callable[[Path], Run]:
    """What runs a graph on the CPU to judge it."""
    if precision != "bf16":
        return onnx_run.runner
    from harness.support.onnx_bf16 import rounded_runner

    return rounded_runner


def _newest_opset() -> int:
    import onnx

    return int(onnx.defs.onnx_opset_version())


def _weight_bytes(network: torch.nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())


def _write_graph(network: torch.nn.Module, checkpoint: Checkpoint, path: Path, precision: str, opset: int) -> None:
    """Write the fp32 graph that an artifact of `precision` is made of. Raises ExportError."""
    import torch
    from torch.export import Dim

    image = torch.from_numpy(example(checkpoint, EXAMPLE_BATCH))
    weights = _weight_bytes(network)
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (image,),
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=({0: Dim("batch", min=1, max=MAX_BATCH)},),
                input_names=["image"],
                output_names=["logits"],
                verbose=False,
            )
            assert program is not None  # it is None only with dynamo=False
            program.model.metadata_props.update(_metadata(checkpoint))
            program.save(str(path), external_data=weights > EXTERNAL_ABOVE)
    except (torch.onnx.OnnxExporterError, torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
        said = f"torch.onnx cannot export {checkpoint.model} to opset {opset}: {_first_line(error)}"
        oldest = least_opset(precision)
        raise ExportError(said, f"--opset {oldest}" if opset > oldest else "harness export --debug, for the whole report") from error


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """Facts that travel in the file itself."""
    return {
        "harness.version": harness.__version__,
        "harness.model": checkpoint.model,
        "harness.checkpoint_sha256": checkpoint.sha256,
        "harness.bands": ",".join(names_of(checkpoint.bands)),
        "harness.classes": ",".join(checkpoint.classes),
        "harness.input": "raw pixels, float32, NCHW; normalization is inside the graph",
    }


def require_dynamic_batch(path: Path) -> None:
    """The exporter can freeze the batch without a word, so look."""
    import onnx

    onnx.checker.check_model(str(path))
    dimension = onnx.load(str(path), load_external_data=False).graph.input[0].type.tensor_type.shape.dim[0]
    if not dimension.dim_param:
        raise ExportError(f"the exporter froze the batch at {dimension.dim_value}: some operation of the network depends on it", "file the model as a bug")


def _describe(
    network: SegmentationModel, checkpoint: Checkpoint, folder: Path, *, options: dict[str, Any], precision: str, parity: dict[str, float]
) -> Artifact:
    from harness.support.flops import flops_if_known

    return Artifact(
        format="onnx",
        precision=precision,
        file=FILE,
        sha256=sha256_of_file(folder / FILE),
        files={file.name: sha256_of_file(file) for file in sorted(folder.iterdir()) if file.name != FILE},
        size=sum(file.stat().st_size for file in folder.iterdir()),
        **tensors_of(checkpoint),
        checkpoint=checkpoint,
        checkpoint_sha256=checkpoint.sha256,
        exporter="torch.onnx dynamo",
        options=options,
        tool_versions={name: importlib.metadata.version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")},
        parity=parity,
        flops=flops_if_known(network, len(checkpoint.bands), checkpoint.input_size),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its steps and logs deprecations of its own dependencies: none of that is for our user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]


EXPORTER = OnnxExporter()
