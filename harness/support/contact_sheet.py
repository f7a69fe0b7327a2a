"""One picture of many tiles: each beside itself with its labels, and a legend with the class balance."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harness.core.files import write_atomic
from harness.core.specs import DatasetSpec, Tile

Color = tuple[int, int, int]
SIDE, GAP, CAPTION, LINE, PAIRS_PER_ROW = 144, 6, 16, 20, 4
OVERLAY = 0.5
IGNORED: Color = (255, 0, 255)
BACKGROUND, INK = (24, 24, 24), (235, 235, 235)


@dataclass(frozen=True)
class Sample:
    """A tile to draw and the split that it is of."""

    split: str
    tile: Tile


def write(path: Path, spec: DatasetSpec, samples: Sequence[Sample], *, balance: Mapping[str, Mapping[str, float]]) -> Path:
    """Write the sheet as PNG; `balance` is the share of each class in each split. Raises HarnessError when `path` can't be written."""
    rows = -(-len(samples) // PAIRS_PER_ROW)
    width = PAIRS_PER_ROW * _pair_width() + GAP
    sheet = Image.new("RGB", (width, LINE + GAP + rows * (SIDE + CAPTION + GAP) + LINE * (spec.num_classes + 2)), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    draw.text((GAP, GAP), f"{spec.name} {spec.version}: tile, and the same tile with its labels", fill=INK, font=font)
    low, high = _stretch(spec, samples)
    for number, sample in enumerate(samples):
        row, column = divmod(number, PAIRS_PER_ROW)
        _draw_pair(sheet, spec, sample, corner=(GAP + column * _pair_width(), LINE + GAP + row * (SIDE + CAPTION + GAP)), limits=(low, high))
    _draw_legend(draw, spec, balance, top=LINE + GAP + rows * (SIDE + CAPTION + GAP))
    buffer = BytesIO()
    sheet.save(buffer, "PNG")
    return write_atomic(path, buffer.getvalue())


def palette(spec: DatasetSpec) -> tuple[Color, ...]:
    """The set's own colors, else evenly spaced hues."""
    if len(spec.colors) == spec.num_classes:
        return spec.colors
    hues = (colorsys.hsv_to_rgb(index / spec.num_classes, 0.8, 1.0) for index in range(spec.num_classes))
    return tuple((int(red * 255), int(green * 255), int(blue * 255)) for red, green, blue in hues)


def colored(mask: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Class indices (H, W) as colors (H, W, 3) uint8; pixels of `ignore_index` are magenta."""
    colors: np.ndarray = np.take(np.asarray(palette(spec), dtype=np.uint8), np.clip(mask, 0, spec.num_classes - 1), axis=0)
    if spec.ignore_index is not None:
        colors[mask == spec.ignore_index] = IGNORED
    return colors


def _pair_width() -> int:
    return 2 * SIDE + 2 + 2 * GAP


def _shown_bands(spec: DatasetSpec) -> list[int]:
    """Red, green, blue by name where the set has them, else the first three bands, else the first one as gray."""
    names = [band.name for band in spec.bands]
    if {"red", "green", "blue"} <= set(names):
        return [names.index(name) for name in ("red", "green", "blue")]
    return [0, 1, 2] if len(names) >= 3 else [0, 0, 0]


def _stretch(spec: DatasetSpec, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """The values drawn black and white, per shown band: the 0.5 and 99.5 percentile over all drawn tiles."""
    pixels = np.concatenate([sample.tile.image[_shown_bands(spec)].reshape(3, -1) for sample in samples], axis=1)
    low, high = np.percentile(pixels, (0.5, 99.5), axis=1)
    return low, np.maximum(high, low + 1e-6)


def _draw_pair(sheet: Image.Image, spec: DatasetSpec, sample: Sample, *, corner: tuple[int, int], limits: tuple[np.ndarray, np.ndarray]) -> None:
    low, high = (limit[:, None, None] for limit in limits)
    gray = ((sample.tile.image[_shown_bands(spec)] - low) / (high - low)).clip(0, 1) * 255
    picture = np.moveaxis(gray, 0, -1)
    mixed = picture * (1 - OVERLAY) + colored(sample.tile.mask, spec) * OVERLAY
    x, y = corner
    for left, pixels in ((x, picture), (x + SIDE + 2, mixed)):
        sheet.paste(Image.fromarray(pixels.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST), (left, y))
    caption = f"{sample.split}  {sample.tile.name.rpartition('/')[2]}  region {sample.tile.region}"
    ImageDraw.Draw(sheet).text((x, y + SIDE + 1), caption, fill=INK, font=ImageFont.load_default(11))


def _draw_legend(draw: ImageDraw.ImageDraw, spec: DatasetSpec, balance: Mapping[str, Mapping[str, float]], *, top: int) -> None:
    font = ImageFont.load_default(12)
    draw.text((GAP, top), "share of labeled pixels", fill=INK, font=font)
    for row, (name, color) in enumerate(zip(spec.classes, palette(spec), strict=True), start=1):
        y = top + row * LINE
        draw.rectangle((GAP, y + 2, GAP + 14, y + 16), fill=color, outline=INK)
        draw.text((GAP + 22, y + 2), name, fill=INK, font=font)
        shares = "   ".join(f"{split} {100 * share[name]:.1f} %" for split, share in balance.items())
        draw.text((GAP + 200, y + 2), shares, fill=INK, font=font)
