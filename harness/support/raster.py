"""GeoTIFF tiles: bytes from an array, and a checked read of an image with its mask."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.transform import Affine

from harness.core.errors import DataError
from harness.core.specs import Tile

#: Pixels by which two transforms may differ and still be the same place.
PLACE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class TileRule:
    """What a tile must be: band count, labels 0 to `classes` - 1 or `ignore_index`. `hint` is the next command when it is not."""

    bands: int
    classes: int
    ignore_index: int | None = None
    hint: str = "repair the file or remove the tile"


def tiff_bytes(array: np.ndarray, *, transform: Affine, crs: str | None) -> bytes:
    """A GeoTIFF of an array (C, H, W), uncompressed and without a date: equal input gives equal bytes."""
    count, height, width = array.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": array.dtype, "transform": transform, "crs": crs}
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(array)
        return bytes(memory.read())


@dataclass(frozen=True)
class Raster:
    """What was read from one file: pixels (C, H, W) as stored, and where they lie."""

    path: Path
    pixels: np.ndarray
    nodata: float | None
    bounds: tuple[float, float, float, float]
    transform: Affine
    crs: CRS | None


def read_tile(image_path: Path, mask_path: Path, *, rule: TileRule, name: str = "", region: str = "") -> Tile:
    """One checked tile: pixel values as float32, labels as int64.

    Raises DataError naming the file and the value seen for a file that is missing or cut short, another band count, pixels that are
    NaN, infinite or nodata, a mask of another size, CRS or place than its image, and labels that no class has.
    """
    image, mask = read_raster(image_path, bands=rule.bands, hint=rule.hint), read_raster(mask_path, bands=1, hint=rule.hint)
    _check_same_place(image, mask, rule)
    _check_pixels(image.pixels, image_path, image.nodata, rule)
    _check_labels(mask.pixels, mask_path, rule)
    return Tile(
        name or image_path.stem,
        image.pixels.astype(np.float32),
        mask.pixels[0].astype(np.int64),
        bounds=image.bounds,
        crs=image.crs.to_string() if image.crs else None,
        region=region,
    )


def read_raster(path: Path, *, bands: int, hint: str) -> Raster:
    """All pixels of a file. Raises DataError naming it when it is missing, cut short, or has another band count."""
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                _check_bands(file, path, bands, hint)
                return Raster(path, file.read(), file.nodata, tuple(file.bounds), file.transform, file.crs)
    except RasterioError as error:
        raise DataError(f"cannot read {path}, is it cut short? {error.__cause__ or error}", hint) from error


def _check_bands(file: DatasetReader, path: Path, wanted: int, hint: str) -> None:
    if file.count != wanted:
        raise DataError(f"{path} has {file.count} bands, wanted {wanted}", hint)


def _check_same_place(image: Raster, mask: Raster, rule: TileRule) -> None:
    (height, width), wanted = mask.pixels.shape[1:], image.pixels.shape[1:]
    if (height, width) != wanted:
        raise DataError(f"{mask.path} is {height} x {width} px, its image is {wanted[0]} x {wanted[1]} px", rule.hint)
    if image.crs != mask.crs:
        raise DataError(f"{mask.path} has the CRS {mask.crs}, its image has {image.crs}", rule.hint)
    tolerance = PLACE_TOLERANCE * (abs(image.transform.a) or 1.0)
    if not np.allclose(image.transform, mask.transform, rtol=0, atol=tolerance):
        raise DataError(f"{mask.path} has the transform {tuple(mask.transform)[:6]}, its image has {tuple(image.transform)[:6]}", rule.hint)


def _check_pixels(pixels: np.ndarray, path: Path, nodata: float | None, rule: TileRule) -> None:
    if pixels.dtype.kind == "c":
        raise DataError(f"{path} has complex pixels ({pixels.dtype}), wanted real numbers", rule.hint)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise DataError(f"{path} has {np.isnan(pixels).sum()} NaN and {np.isinf(pixels).sum()} infinite values of {pixels.size}", rule.hint)
    if nodata is not None and (pixels == nodata).any():
        raise DataError(f"{path} has {(pixels == nodata).sum()} nodata values ({nodata:g}) of {pixels.size}", rule.hint)


def _check_labels(labels: np.ndarray, path: Path, rule: TileRule) -> None:
    known = [*range(rule.classes), *([] if rule.ignore_index is None else [rule.ignore_index])]
    strange = np.setdiff1d(labels, known)
    if strange.size:
        seen = ", ".join(f"{value:g}" for value in strange[:5])
        ignored = "" if rule.ignore_index is None else f" or {rule.ignore_index} (ignored)"
        raise DataError(f"{path} has the labels {seen}, wanted 0 to {rule.classes - 1}{ignored}", rule.hint)
