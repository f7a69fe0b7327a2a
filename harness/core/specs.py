"""What a plug-in says of itself: encoders, decoders, data sets, tensors and bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import torch

Task = Literal["segmentation", "classification"]


class Value(BaseModel):
    """Base of every value that crosses a file: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Band(Value):
    """One band of an image. `wavelength_um` is the central wavelength in micrometers, None for SAR and ancillary layers."""

    name: str
    wavelength_um: float | None = None
    sensor: str = "optical"


class TensorSpec(Value):
    """One input or output of an artifact. A symbolic dimension is its name, for example "batch"."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str


class WeightsFile(Value):
    """A published file: where it is downloaded from, its name in the cache, and its sha256 where it is known.

    It is that of an encoder whose options have the values in `options`; those that are not named don't matter.
    """

    url: str
    name: str
    sha256: str = ""
    options: dict[str, Any] = {}


@dataclass(frozen=True)
class EncoderSpec:
    """A backbone.

    `build(bands, input_size, **options)` gives an `nn.Module` whose `forward(x)` takes a float tensor (B, C, H, W), C in the order
    of `bands`, H and W multiples of `divisor` (and equal to `input_size` where `flexible` is False), and returns a list of feature
    maps (B, channels[i], H / reductions[i], W / reductions[i]). The module has the attributes `channels` and `reductions`, tuples
    of int of the list's length.

    `bands` None: takes any bands; `bands_for(**options)` gives the bands, or None, where an option changes them, and `choices` are the
    values that such an option can have. `pyramid`: the maps already have falling resolution (a CNN or Swin), so a decoder need not make
    a pyramid of them. `load_weights(module, path)` reads an official checkpoint and accounts for every tensor, else raises
    CheckpointError; it returns a report {"used": n, "dropped": {reason: [keys]}, "adapted": {key: how}}. `official` are the files that
    it reads, where a direct location is published; `source` is the page.
    """

    name: str
    build: Callable[..., torch.nn.Module]
    divisor: int
    input_size: int | None = None
    flexible: bool = True
    pyramid: bool = True
    bands: tuple[Band, ...] | None = None
    bands_for: Callable[..., tuple[Band, ...] | None] | None = None
    load_weights: Callable[[torch.nn.Module, Path], Mapping[str, Any]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    description: str = ""
    license: str = ""
    source: str = ""
    official: tuple[WeightsFile, ...] = ()
    extra: str = "train"


@dataclass(frozen=True)
class EncoderFamily:
    """Encoders named `<family>:<name>`, for example every timm backbone. `spec(name)` raises UnknownNameError."""

    name: str
    spec: Callable[[str], EncoderSpec]
    description: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class DecoderSpec:
    """A head.

    `build(channels, reductions, num_classes, pyramid=bool, **options)` gives an `nn.Module` whose `forward(features, size)` takes
    the encoder's list of feature maps and the (H, W) of the encoder's input and returns logits (B, num_classes, H, W).
    """

    name: str
    build: Callable[..., torch.nn.Module]
    task: Task = "segmentation"
    options: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""


class Tile:
    """One sample: `image` float32 (C, H, W) in the sensor's own units, `mask` int64 (H, W) of class indices, where it lies.

    `region` groups tiles that are not independent of each other (same scene, neighbors); intervals are over regions, not tiles.
    """

    __slots__ = ("bounds", "crs", "image", "mask", "name", "region")

    def __init__(
        self,
        name: str,
        image: np.ndarray,
        mask: np.ndarray,
        *,
        bounds: tuple[float, float, float, float] | None = None,
        crs: str | None = None,
        region: str = "",
    ) -> None:
        self.name, self.image, self.mask = name, image, mask
        self.bounds, self.crs, self.region = bounds, crs, region or name


class TileSource(Protocol):
    """The tiles of one split, read one at a time."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Tile: ...


@dataclass(frozen=True)
class DatasetSpec:
    """A data set.

    `prepare(root, progress, **options)` builds it in the folder `root` (progress(done, total, what) is called as it goes);
    `open(root, split)` gives the tiles of "train", "val" or "test" and raises DataError with the next command when the set is not
    there or corrupt; `fake(root, seed)` writes a few small tiles in the true format, for tests. `mean` and `std` are per band, in
    the units of the pixels. `gsd_m` is the ground sampling distance in meters per pixel (None: unknown); where it changes over
    the set, the side of a square of a pixel's mean ground in test. `baselines(source)` gives named predictors that need no training,
    each a function from an image (C, H, W) to class indices (H, W).
    """

    name: str
    version: str
    bands: tuple[Band, ...]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tile: int
    prepare: Callable[..., None]
    open: Callable[[Path, str], TileSource]
    fake: Callable[[Path, int], None]
    license: str
    citation: str
    ignore_index: int | None = None
    task: Task = "segmentation"
    gsd_m: float | None = None
    colors: tuple[tuple[int, int, int], ...] = ()
    caveats: str = ""
    baselines: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        return len(self.classes)


def names_of(bands: Sequence[Band]) -> tuple[str, ...]:
    """The band names, in order."""
    return tuple(band.name for band in bands)
