"""Inputs and outputs of models that were not made here: other types, channels last, several inputs and outputs.

A model that was made here takes one float32 (B, C, H, W) and gives logits (B, K, H, W); for it every function below is the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.core.artifact import Artifact
from harness.core.errors import MeasurementError
from harness.core.specs import TensorSpec
from harness.support.foreign_pt2 import read_pt2

#: Key of `Artifact.options`: "NCHW" or "NHWC" for the input that images go into.
LAYOUT = "layout"
#: Key of `Artifact.options`: why a file is not run at all.
REFUSED = "refused"
#: The format of a program of torch.export.
PROGRAM = "pt2"


def require_readable(artifact: Artifact, folder: Path) -> None:
    """Raises MeasurementError with the reason why the file was refused, when it changed since it was looked at, or when loading it would run code."""
    if REFUSED in artifact.options:
        raise MeasurementError(str(artifact.options[REFUSED]))
    if not (folder / artifact.file).is_file():
        raise MeasurementError(f"{folder / artifact.file} is no longer there")
    if artifact.format == PROGRAM:
        read_pt2(folder / artifact.file)  # here, since it is no part of the time to load


def as_input(images: np.ndarray, artifact: Artifact) -> np.ndarray:
    """Raw pixels (B, C, H, W) as the model's first input takes them: normalized if its checkpoint says how, its layout and its type."""
    if artifact.checkpoint.is_foreign:
        images = normalized(images, artifact)
        images = np.moveaxis(images, 1, -1) if artifact.options.get(LAYOUT) == "NHWC" else images
    return np.ascontiguousarray(images.astype(artifact.inputs[0].dtype, copy=False))


def normalized(images: np.ndarray, artifact: Artifact) -> np.ndarray:
    """(pixel - mean) / std per band where a foreign model asks for it; our own artifacts hold this in their graph."""
    how = artifact.checkpoint.preprocessing
    if not artifact.checkpoint.is_foreign or not (any(how.mean) or any(value != 1 for value in how.std)):
        return images
    mean, std = (np.reshape(np.asarray(values, np.float32), (1, -1, 1, 1)) for values in (how.mean, how.std))
    return np.asarray((images - mean) / std, np.float32)


def logits_from(outputs: Sequence[np.ndarray], artifact: Artifact, side: tuple[int, int]) -> np.ndarray:
    """Logits (B, K, H, W) of an input of `side` (H, W) among the outputs: the first one that is a map of that size.

    Class indices (B, H, W) become one-hot. Raises MeasurementError naming the shapes where no output is such a map, and the values where
    a map (B, H, W) holds anything but indices of classes.
    """
    classes = artifact.checkpoint.num_classes
    if not artifact.checkpoint.is_foreign:
        return outputs[0]
    for output in outputs:
        if output.ndim == 4 and output.shape[1:] == (classes, *side):
            return output
        if output.ndim == 4 and output.shape[1:] == (*side, classes):
            return np.ascontiguousarray(np.moveaxis(output, -1, 1))
        if output.ndim == 3 and output.shape[1:] == side:
            return _one_hot(output, classes)
    shapes = ", ".join("x".join(map(str, output.shape)) for output in outputs)
    raise MeasurementError(f"no output is a map of {classes} classes over {side[0]} x {side[1]} px; the model gives {shapes}", "omit --data")


def _one_hot(indices: np.ndarray, classes: int) -> np.ndarray:
    """Logits (B, classes, H, W) of indices (B, H, W), floats if they are whole. A probability per pixel is refused: its threshold is not ours to choose."""
    low, high = float(indices.min()), float(indices.max())
    if not (low >= 0 and high < classes and np.array_equal(indices, np.trunc(indices))):
        said = f"an output of one {indices.dtype} per pixel holds {low:g} to {high:g}, where class indices are whole numbers from 0 to {classes - 1}"
        raise MeasurementError(said, f"let the model give {classes} logits or the class index of each pixel, or omit --data")
    return np.moveaxis(np.eye(classes, dtype=np.float32)[indices.astype(np.int64)], -1, 1)


def require_finite(logits: np.ndarray, tile: str) -> None:
    """Raises MeasurementError for NaN and infinity, of which argmax would make a class."""
    if not np.isfinite(logits).all():
        raise MeasurementError(f"the logits of tile {tile} hold NaN or infinity", "train with a lower --lr, or export in a higher --precision")


def window_side(artifact: Artifact) -> int:
    """Side in pixels of the square image that the model takes."""
    return artifact.checkpoint.input_size if artifact.checkpoint.is_foreign else int(artifact.inputs[0].shape[-1])


def filled(images: np.ndarray, batch: int | None) -> np.ndarray:
    """Images (B, C, H, W) with the last one repeated up to the batch that a session is fixed to; None: it takes any."""
    missing = 0 if batch is None else batch - len(images)
    return np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing > 0 else images


def image_side(batch: np.ndarray, artifact: Artifact) -> tuple[int, int]:
    """(H, W) of the first input, (0, 0) where it is no image."""
    if batch.ndim != 4:
        return 0, 0
    height, width = batch.shape[1:3] if artifact.options.get(LAYOUT) == "NHWC" else batch.shape[2:]
    return int(height), int(width)


def gives_class_indices(artifact: Artifact) -> bool:
    """Whether the model decides by itself, so that its confidence can't be known: what is scored is a map (B, H, W) of any type, or integers."""
    return artifact.checkpoint.is_foreign and any(len(spec.shape) == 3 or spec.dtype.startswith(("int", "uint")) for spec in _maps(artifact)[:1])


def _maps(artifact: Artifact) -> tuple[TensorSpec, ...]:
    """The outputs that `logits_from` may take, as the file declares them; a side that it leaves open may be any."""
    classes, side = artifact.checkpoint.num_classes, window_side(artifact)
    shapes = ((classes, side, side), (side, side, classes), (side, side))
    return tuple(spec for spec in artifact.outputs if any(_may_be(spec.shape[1:], shape) for shape in shapes))


def _may_be(declared: tuple[int | str, ...], shape: tuple[int, ...]) -> bool:
    return len(declared) == len(shape) and all(isinstance(own, str) or own == seen for own, seen in zip(declared, shape, strict=True))


def random_input(spec: TensorSpec, batch: int, seed: int) -> np.ndarray:
    """Random values of an input's shape and type: normal for floats, 0 to 255 for bytes, 0 or 1 for other integers (they may be indices)."""
    shape = tuple(side if isinstance(side, int) else batch for side in spec.shape)
    random = np.random.default_rng(seed)
    if spec.dtype.startswith("float"):
        return random.standard_normal(shape, np.float32).astype(spec.dtype)
    return random.integers(0, 256 if spec.dtype == "uint8" else 2, shape).astype(spec.dtype)
