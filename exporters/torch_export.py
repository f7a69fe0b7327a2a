"""A `.pt2` archive of torch.export from a checkpoint: dynamic batch, normalization in the program.

In bf16 the encoder and the decoder compute in bfloat16; pixels and logits stay in fp32.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.artifact import ARTIFACT_FILE, Artifact, Checkpoint, read_checkpoint
from harness.core.errors import ExportError
from harness.core.files import atomic_folder, sha256_of_file, write_value
from harness.core.registry import missing_package
from harness.support.export_data import CONTEXT, Context
from harness.support.export_network import EXAMPLE_BATCH, MAX_BATCH, example, folded, judged, reference, runner, tensors_of, val_tiles
from harness.support.export_settings import settings_from

if TYPE_CHECKING:
    from harness.support.model import SegmentationModel

FILE = "model.pt2"
#: Largest relative difference of a logit.
TOLERANCE = 1e-4


class TorchExporter:
    source = "checkpoint"
    format = "pt2"
    precisions = ("fp32", "bf16")
    unsupported: Mapping[str, str] = {
        "int8-dynamic": "quantized programs need a package of their own; use `--to onnx --precision int8-dynamic`",
        "int8-static": "quantized programs need a package of their own; use `--to onnx --precision int8-static`",
    }
    sources: Mapping[str, str] = {}

    def unavailable(self) -> str | None:
        try:
            import torch  # noqa: F401
        except ModuleNotFoundError as error:
            return str(missing_package("exporter torch_export", error))
        return None

    def settings(self, precision: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """It has none. Raises ConfigError for any."""
        return settings_from(f"torch_export {precision}", {}, options)

    def export(self, source: Path, *, precision: str, out: Path, options: Mapping[str, Any]) -> Artifact:
        """Export the checkpoint in `source`. Option: a `Context`, which bf16 needs. Raises ExportError, ParityError or DataError."""
        from harness.support.flops import flops_if_known
        from harness.support.model import model_from_checkpoint

        self.settings(precision, options)
        context: Context | None = options.get(CONTEXT)
        checkpoint = read_checkpoint(source)
        tiles = val_tiles(context, checkpoint, precision)
        network = folded(model_from_checkpoint(source))
        known = reference(network, tiles)
        traced = network if precision == "fp32" else in_bfloat16(folded(model_from_checkpoint(source)))
        with atomic_folder(out) as folder:
            _write(traced, checkpoint, folder / FILE)
            run, least = runner(_load(folder / FILE)), context.min_agreement if context else None
            parity = judged(run, network, checkpoint, precision=precision, known=known, tolerance=TOLERANCE, least=least)
            artifact = Artifact(
                format=self.format,
                precision=precision,
                file=FILE,
                sha256=sha256_of_file(folder / FILE),
                size=(folder / FILE).stat().st_size,
                **tensors_of(checkpoint),
                checkpoint=checkpoint,
                checkpoint_sha256=checkpoint.sha256,
                exporter="torch.export",
                tool_versions={"torch": importlib.metadata.version("torch")},
                parity=parity,
                flops=flops_if_known(network, len(checkpoint.bands), checkpoint.input_size),
            )
            write_value(folder / ARTIFACT_FILE, artifact)
        return artifact


def in_bfloat16(network: SegmentationModel) -> SegmentationModel:
    """The network with its encoder and decoder in bfloat16; pixels are normalized in fp32, since bfloat16 keeps 8 bits of them."""
    import torch

    network.encoder.to(torch.bfloat16).register_forward_pre_hook(lambda _, inputs: tuple(value.to(torch.bfloat16) for value in inputs))
    network.decoder.to(torch.bfloat16).register_forward_hook(lambda _, __, logits: logits.float())
    return network


def _write(network: SegmentationModel, checkpoint: Checkpoint, path: Path) -> None:
    import torch
    from torch.export import Dim

    image = torch.from_numpy(example(checkpoint, EXAMPLE_BATCH))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(network, (image,), dynamic_shapes=({0: Dim("batch", min=1, max=MAX_BATCH)},))
            torch.export.save(program, str(path))
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise ExportError(f"torch.export cannot export {checkpoint.model}: {reason}", "harness export --debug, for the whole report") from error


def _load(path: Path) -> Any:
    """The program as it will be read: from its file."""
    import torch

    return torch.export.load(str(path)).module()


EXPORTER = TorchExporter()
