"""How far an artifact's logits are from those of the network that it was made from, and what that costs on labeled tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.core.artifact import Checkpoint
from harness.core.errors import ParityError
from harness.support.confusion import confusion, miou
from harness.support.export_data import Tiles

#: Logits (B, K, H, W) of images (B, C, H, W).
Run = Callable[[np.ndarray], np.ndarray]

#: An artifact that decides like its network on fewer of the val pixels than this is not made.
LEAST_AGREEMENT = {"fp32": 0.999, "fp16": 0.98, "bf16": 0.97, "int8": 0.90}


@dataclass(frozen=True)
class Reference:
    """Logits (N, K, S, S) of the network for the images of `tiles`."""

    tiles: Tiles
    logits: np.ndarray


def reference_of(run: Run, tiles: Tiles) -> Reference:
    return Reference(tiles, np.concatenate([run(image[None]) for image in tiles.images]))


def least_agreement(precision: str) -> float:
    """The share of pixels below which an artifact of this precision is refused; "int8-static" counts as "int8"."""
    return LEAST_AGREEMENT[precision.partition("-")[0]]


def agreement(run: Run, reference: Reference, checkpoint: Checkpoint) -> dict[str, float]:
    """Share of pixels decided alike, logit errors, and mIoU before and after, tile by tile. Raises ParityError for NaN or another shape."""
    classes, ignore = checkpoint.num_classes, checkpoint.ignore_index
    own, wanted = np.zeros((classes, classes), np.int64), np.zeros((classes, classes), np.int64)
    alike, largest, squares = 0, 0.0, 0.0
    for image, expected, mask in zip(reference.tiles.images, reference.logits, reference.tiles.masks, strict=True):
        logits = run(image[None])[0]
        _require_sound(logits, expected)
        decided, target = logits.argmax(0), expected.argmax(0)
        alike += int((decided == target).sum())
        largest = max(largest, float(np.abs(logits - expected).max()))
        squares += float(((logits - expected) ** 2).mean())
        labeled = (mask >= 0) & (mask < classes) if ignore is None else (mask >= 0) & (mask < classes) & (mask != ignore)
        own += confusion(decided[labeled], mask[labeled], classes, None)
        wanted += confusion(target[labeled], mask[labeled], classes, None)
    scale = max(float(np.abs(reference.logits).max()), 1e-30)
    found = {
        "tiles": float(len(reference.logits)),
        "argmax_agreement": alike / reference.tiles.masks.size,
        "max_abs_error": largest,
        "max_relative_error": largest / scale,
        "rms_error": float(np.sqrt(squares / len(reference.logits))),
    }
    if wanted.sum():
        found |= {"miou": miou(own, ignore), "miou_drop": miou(wanted, ignore) - miou(own, ignore)}
    return found


def require_agreement(found: dict[str, float], precision: str, least: float | None = None) -> dict[str, float]:
    """`found` with the stated limit. Raises ParityError below it."""
    limit = least_agreement(precision) if least is None else least
    if not found["argmax_agreement"] >= limit:
        raise ParityError(
            f"in {precision} the artifact decides like its network on {found['argmax_agreement']:.2%} of {found['tiles']:.0f} val tiles' pixels, "
            f"less than {limit:.2%}",
            "a higher precision; for int8-static more --calibration-tiles or another --calibration-method; or --min-agreement",
        )
    return {**found, "least_agreement": limit}


def _require_sound(logits: np.ndarray, expected: np.ndarray) -> None:
    if logits.shape != expected.shape:
        raise ParityError(f"the artifact gives logits {logits.shape} for one tile, the network {expected.shape}")
    if not np.isfinite(logits).all():
        raise ParityError(f"{int((~np.isfinite(logits)).sum())} of {logits.size} logits are NaN or infinite", "--precision fp32")
