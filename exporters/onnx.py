"""ONNX from a checkpoint by PyTorch's dynamo exporter: dynamic batch, normalization in the graph, argmax outside.

An artifact exists only after ONNX Runtime has reproduced the network's logits from it at two batch sizes.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import harness
from harness.core.artifact import ARTIFACT_FILE, Artifact, Checkpoint, read_checkpoint
from harness.core.errors import ConfigError, ExportError, ParityError
from harness.core.files import atomic_folder, sha256_of_file, write_value
from harness.core.registry import missing_package
from harness.core.specs import TensorSpec, names_of

if TYPE_CHECKING:
    import torch

    from harness.support.model import SegmentationModel

OPSET = 20
EXAMPLE_BATCH, CHECKED_BATCHES, MAX_BATCH = 2, (1, 3), 1024
#: Largest relative difference of a logit, max |onnx - torch| / max |torch|.
TOLERANCE = 1e-4
#: A protobuf file holds less than 2 GiB; larger weights go into a file beside it.
EXTERNAL_ABOVE = 1_800_000_000
FILE = "model.onnx"


class OnnxExporter:
    source = "checkpoint"
    format = "onnx"
    precisions = ("fp32",)

    def unavailable(self) -> str | None:
        try:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
            import torch  # noqa: F401
        except ModuleNotFoundError as error:
            return str(missing_package("exporter onnx", error))
        return None

    def export(self, source: Path, *, precision: str, out: Path, options: Mapping[str, Any]) -> Artifact:
        """Export the checkpoint in `source`. Options: `opset` (20 or later), `tolerance` (relative).

        Raises ExportError when the exporter can't, or froze the batch; ParityError when the graph computes something else.
        """
        opset = int(options.get("opset", OPSET))
        if opset < OPSET:
            raise ConfigError(f"opset {opset} is older than {OPSET}, the first that the exporter writes soundly", f"--opset {OPSET}")
        from harness.support.model import model_from_checkpoint

        checkpoint, network = read_checkpoint(source), folded(model_from_checkpoint(source))
        with atomic_folder(out) as folder:
            _write_graph(network, checkpoint, folder / FILE, opset)
            _require_dynamic_batch(folder / FILE)
            parity = _parity(network, checkpoint, folder / FILE, float(options.get("tolerance", TOLERANCE)))
            artifact = _describe(network, checkpoint, folder, opset=opset, precision=precision, parity=parity)
            write_value(folder / ARTIFACT_FILE, artifact)
        return artifact


def folded(network: SegmentationModel) -> SegmentationModel:
    """The network with its encoder as it is deployed, where it has such a form (DOFA's generated kernels become constants)."""
    fold = getattr(network.encoder, "folded", None)
    if fold is not None:
        network.encoder = fold()
    return network


def _write_graph(network: torch.nn.Module, checkpoint: Checkpoint, path: Path, opset: int) -> None:
    import torch
    from torch.export import Dim

    example = torch.from_numpy(_example(checkpoint, EXAMPLE_BATCH))
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
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
        raise ExportError(f"torch.onnx cannot export {checkpoint.model}: {_first_line(error)}", "harness export --debug, for the whole report") from error


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


def _require_dynamic_batch(path: Path) -> None:
    """The exporter can freeze the batch without a word, so look."""
    import onnx

    onnx.checker.check_model(str(path))
    dimension = onnx.load(str(path), load_external_data=False).graph.input[0].type.tensor_type.shape.dim[0]
    if not dimension.dim_param:
        raise ExportError(f"the exporter froze the batch at {dimension.dim_value}: some operation of the network depends on it", "file the model as a bug")


def _parity(network: torch.nn.Module, checkpoint: Checkpoint, path: Path, tolerance: float) -> dict[str, float]:
    """Differences of ONNX Runtime's logits on the CPU from the network's, over two batch sizes unlike the exported one."""
    import onnxruntime
    import torch

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    absolute = relative = 0.0
    for batch in CHECKED_BATCHES:
        image = _example(checkpoint, batch)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(image)).numpy()
        got = session.run(None, {"image": image})[0]
        if got.shape != wanted.shape:
            raise ParityError(f"{path.name} gives logits {got.shape} for a batch of {batch}, the network {wanted.shape}")
        difference = float(np.abs(got - wanted).max())
        absolute, relative = max(absolute, difference), max(relative, difference / max(float(np.abs(wanted).max()), 1e-30))
    if not relative <= tolerance:
        raise ParityError(f"{path.name} differs from the network by {relative:.2g} of the largest logit, more than {tolerance:g}", "file the model as a bug")
    return {"max_abs_error": absolute, "max_relative_error": relative, "tolerance": tolerance}


def _describe(network: SegmentationModel, checkpoint: Checkpoint, folder: Path, *, opset: int, precision: str, parity: dict[str, float]) -> Artifact:
    from harness.support.flops import flops_of_model

    size = checkpoint.input_size
    return Artifact(
        format="onnx",
        precision=precision,
        file=FILE,
        sha256=sha256_of_file(folder / FILE),
        size=sum(file.stat().st_size for file in folder.iterdir()),
        inputs=(TensorSpec(name="image", shape=("batch", len(checkpoint.bands), size, size), dtype="float32"),),
        outputs=(TensorSpec(name="logits", shape=("batch", checkpoint.num_classes, size, size), dtype="float32"),),
        checkpoint=checkpoint,
        checkpoint_sha256=checkpoint.sha256,
        exporter="torch.onnx dynamo",
        options={"opset": opset},
        tool_versions={name: importlib.metadata.version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")},
        parity=parity,
        flops=flops_of_model(network, len(checkpoint.bands), size),
    )


def _example(checkpoint: Checkpoint, batch: int) -> np.ndarray:
    """Random pixels with the bands' own mean and spread (batch, C, H, W); each batch size has its own."""
    shape = (batch, len(checkpoint.bands), checkpoint.input_size, checkpoint.input_size)
    mean, std = (np.reshape(values, (1, -1, 1, 1)) for values in (checkpoint.preprocessing.mean, checkpoint.preprocessing.std))
    pixels: np.ndarray = np.random.default_rng(batch).normal(size=shape) * std + mean
    return pixels.astype(np.float32)


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
