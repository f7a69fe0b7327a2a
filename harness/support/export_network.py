"""A trained network as exporters use it: in its deployed form, with example inputs, as a function, and the test that a copy computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.core.artifact import Checkpoint
from harness.core.errors import ConfigError, ParityError
from harness.core.specs import TensorSpec
from harness.support.agreement import Reference, Run, agreement, reference_of, require_agreement
from harness.support.export_data import Context, Tiles, read_tiles

if TYPE_CHECKING:
    import torch

    from harness.support.model import SegmentationModel

#: An exporter traces the first; the artifact is run at the others, so that a frozen batch is seen.
EXAMPLE_BATCH, CHECKED_BATCHES, MAX_BATCH = 2, (1, 3), 1024


def folded(network: SegmentationModel) -> SegmentationModel:
    """The network with its encoder as it is deployed, where it has such a form (DOFA's generated kernels become constants)."""
    fold = getattr(network.encoder, "folded", None)
    if fold is not None:
        network.encoder = fold()
    return network


def example(checkpoint: Checkpoint, batch: int) -> np.ndarray:
    """Random pixels with the bands' own mean and spread (batch, C, H, W); each batch size has its own."""
    shape = (batch, len(checkpoint.bands), checkpoint.input_size, checkpoint.input_size)
    mean, std = (np.reshape(values, (1, -1, 1, 1)) for values in (checkpoint.preprocessing.mean, checkpoint.preprocessing.std))
    pixels: np.ndarray = np.random.default_rng(batch).normal(size=shape) * std + mean
    return pixels.astype(np.float32)


def runner(network: Callable[[torch.Tensor], Any]) -> Run:
    """Logits (B, K, H, W) float32 of images by the network on the CPU."""
    import torch

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(images)).float().numpy(), np.float32)

    return run


def tensors_of(checkpoint: Checkpoint) -> dict[str, tuple[TensorSpec, ...]]:
    """`inputs` and `outputs` of an artifact of the checkpoint."""
    size = checkpoint.input_size
    return {
        "inputs": (TensorSpec(name="image", shape=("batch", len(checkpoint.bands), size, size), dtype="float32"),),
        "outputs": (TensorSpec(name="logits", shape=("batch", checkpoint.num_classes, size, size), dtype="float32"),),
    }


def same_logits(run: Run, network: Callable[[torch.Tensor], Any], checkpoint: Checkpoint, *, tolerance: float) -> dict[str, float]:
    """Differences of an artifact's logits from the network's, over batch sizes unlike the exported one. Raises ParityError above `tolerance`."""
    wanted_by = runner(network)
    absolute = relative = 0.0
    for batch in CHECKED_BATCHES:
        image = example(checkpoint, batch)
        wanted, got = wanted_by(image), run(image)
        if got.shape != wanted.shape:
            raise ParityError(f"the artifact gives logits {got.shape} for a batch of {batch}, the network {wanted.shape}")
        difference = float(np.abs(got - wanted).max())
        absolute, relative = max(absolute, difference), max(relative, difference / max(float(np.abs(wanted).max()), 1e-30))
    if not relative <= tolerance:
        raise ParityError(f"the artifact differs from the network by {relative:.2g} of the largest logit, more than {tolerance:g}", "file the model as a bug")
    return {"max_abs_error": absolute, "max_relative_error": relative, "tolerance": tolerance}


def val_tiles(context: Context | None, checkpoint: Checkpoint, precision: str) -> Tiles | None:
    """The tiles to judge by; fp32, which is held to the network's own logits, does without where there are none."""
    if context is not None and (context.root is not None or precision != "fp32"):
        return read_tiles(context, checkpoint, "val", context.val_tiles)
    if precision != "fp32":
        raise ConfigError(f"{precision} is judged on val tiles, and no data was given", "harness export CHECKPOINT --root FOLDER")
    return None


def reference(network: Callable[[torch.Tensor], Any], tiles: Tiles | None) -> Reference | None:
    """The network's logits for the tiles; None without tiles."""
    return None if tiles is None else reference_of(runner(network), tiles)


def judged(
    run: Run, network: Callable[[torch.Tensor], Any], checkpoint: Checkpoint, *, precision: str, known: Reference | None, tolerance: float,
    least: float | None = None, max_drop: float = 1.0,
) -> dict[str, float]:  # fmt: skip
    """What an artifact computes beside the network: in fp32 its logits within `tolerance`, and in every precision its decisions on the
    tiles of `known`, where there are any. Raises ParityError, also below `least` agreement and for an mIoU drop above `max_drop`.
    """
    same = same_logits(run, network, checkpoint, tolerance=tolerance) if precision == "fp32" else _takes_any_batch(run, checkpoint)
    if known is None:
        return same
    found = require_agreement(agreement(run, known, checkpoint), precision, least)
    if not found.get("miou_drop", 0.0) <= max_drop:
        raise ParityError(f"the {precision} artifact loses {found['miou_drop']:.4f} mIoU on val tiles, more than {max_drop:g}", "a larger --max-miou-drop")
    return {**found, **same}


def _takes_any_batch(run: Run, checkpoint: Checkpoint) -> dict[str, float]:
    """Nothing; raises ParityError where the artifact gives another number of logits than it was given images."""
    for batch in CHECKED_BATCHES:
        logits = run(example(checkpoint, batch))
        if len(logits) != batch:
            raise ParityError(f"the artifact gives {len(logits)} logits for a batch of {batch}")
    return {}
