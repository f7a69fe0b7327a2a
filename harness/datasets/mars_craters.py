"""Craters on one picture of Mars: two classes, tiles of 128 px. See docs/data.md."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from rasterio.transform import from_origin

from harness.core.errors import ConfigError, DataError
from harness.core.specs import Band, DatasetSpec
from harness.support.baselines import constant
from harness.support.fake_tiles import write_fake
from harness.support.packages import PackagedFile, locate, provenance
from harness.support.tilefolder import SPLITS, Layout, Piece, Progress, Split, open_folder, write_folder

LAYOUT = Layout("mars_craters", "1", bands=1, classes=2)
SIDE = 1700
REGION_PX = 256
#: Rows of tiles in train, val and test, from the top, for each tile size.
ROWS_OF_TILE = {128: (8, 2, 3), 256: (4, 1, 1)}
#: Over the train split at 128 px.
MEAN, STD = (150.1043,), (76.648,)
CITATION = "Klear, M. PyCDA: Simple Crater Detection. https://github.com/AlliedToasters/PyCDA"
PICTURE = PackagedFile(
    package="pycda",
    version="0.1.16",
    file="holdout_tile.pgm",
    sha256="30e5c5762cc4b507d011a23d79ef6f24a8f82facf964ae974dde432814278719",
    license="MIT (the package; it does not say where the picture comes from)",
    citation=CITATION,
)
CRATERS = PackagedFile(
    package="pycda",
    version="0.1.16",
    file="holdout_tile_labels.csv",
    sha256="0faef4f21ba9b595d113ee99935523cd1f435da21e3f314ea3833bf5727b0bb4",
    license=PICTURE.license,
    citation=CITATION,
)
RULES = (
    "crater: pixel centers within diameter / 2 of a listed center (long is x, lat is y, in px from the upper left corner of the picture)",
    "whole tiles from the left edge, in horizontal bands of whole rows: train, val, test from the top",
    "the rows that are left over separate the bands, half above val and half above test",
    f"region: block of {REGION_PX} x {REGION_PX} px of the picture that the tile's center lies in",
)


def prepare(root: Path, progress: Progress, *, tile: int = 128) -> None:
    """Build the set in `root`. Raises UnavailableError (the package is missing), DataError (a source differs) or ConfigError (tile size)."""
    if tile not in ROWS_OF_TILE:
        raise ConfigError(f"{LAYOUT.name} has no tiles of {tile} px", f"choose one of {', '.join(map(str, ROWS_OF_TILE))}")
    progress(0, 1, "reading the picture and the craters")
    picture, labels = read_picture(), disks(read_craters(), SIDE)
    facts = provenance((PICTURE, CRATERS), dataset=LAYOUT.name, version=LAYOUT.version, rules=RULES, options={"tile": tile})
    pieces = list(_pieces(picture, labels, tile))
    write_folder(root, LAYOUT, pieces=pieces, total=len(pieces), tile=tile, provenance=facts, progress=progress)


def read_picture() -> np.ndarray:
    """The picture, (1700, 1700) uint8."""
    with Image.open(locate(PICTURE)) as file:
        picture = np.asarray(file)
    if picture.shape != (SIDE, SIDE) or picture.dtype != np.uint8:
        raise DataError(f"{PICTURE.file} is {picture.shape} {picture.dtype}, wanted {(SIDE, SIDE)} uint8", PICTURE.install)
    return picture


def read_craters() -> list[tuple[float, float, float]]:
    """x, y and diameter of every crater, in pixels."""
    with locate(CRATERS).open(newline="", encoding="ascii") as file:
        return [(float(row["long"]), float(row["lat"]), float(row["diameter"])) for row in csv.DictReader(file)]


def disks(craters: Sequence[tuple[float, float, float]], side: int) -> np.ndarray:
    """1 where a pixel's center lies within a crater's circle, (side, side) uint8. Pixel (0, 0) has its center at (0.5, 0.5)."""
    labels = np.zeros((side, side), dtype=np.uint8)
    for x, y, diameter in craters:
        radius = diameter / 2
        rows, columns = (slice(max(0, int(value - radius) - 1), int(value + radius) + 2) for value in (y, x))
        row, column = np.ogrid[rows, columns]
        near = (row + 0.5 - y) ** 2 + (column + 0.5 - x) ** 2 <= radius**2
        height, width = labels[rows, columns].shape
        labels[rows, columns] |= near[:height, :width]
    return labels


def band_rows(tile: int) -> list[tuple[Split, int]]:
    """The split and the first pixel row of every row of tiles, from the top."""
    counts = ROWS_OF_TILE[tile]
    gap = (SIDE - sum(counts) * tile) // 2
    splits = [split for split, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    return [(split, row * tile + SPLITS.index(split) * gap) for row, split in enumerate(splits)]


def _pieces(picture: np.ndarray, labels: np.ndarray, tile: int) -> Iterator[Piece]:
    for row, (split, top) in enumerate(band_rows(tile)):
        for column in range(SIDE // tile):
            left = column * tile
            window = (slice(top, top + tile), slice(left, left + tile))
            region = f"y{(top + tile // 2) // REGION_PX}x{(left + tile // 2) // REGION_PX}"
            yield Piece(f"r{row:02d}c{column:02d}", split, region, picture[None, *window], labels[window], from_origin(left, SIDE - top, 1, 1))


DATASET = DatasetSpec(
    name=LAYOUT.name,
    version=LAYOUT.version,
    bands=(Band(name="gray", sensor="optical"),),
    classes=("background", "crater"),
    mean=MEAN,
    std=STD,
    tile=128,
    prepare=prepare,
    open=partial(open_folder, LAYOUT),
    fake=partial(write_fake, LAYOUT),
    license=PICTURE.license,
    citation=CITATION,
    colors=((60, 60, 60), (255, 90, 40)),
    caveats=(
        "One picture with one light and one slope; train, val and test are parts of it, so scores say nothing about other scenes. "
        "Small craters may be missing in the list. The picture's instrument and scale are not given by its package."
    ),
    baselines={"majority": constant(0)},
)
