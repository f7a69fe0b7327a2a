"""Blue Marble tiles: which are kept, in which split, and how a set is built from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.transform import from_origin

from harness.core.errors import ConfigError
from harness.core.specs import Band
from harness.support import bluemarble_sources as sources
from harness.support.bluemarble_sources import ICE, ICE_SHELF, PIXELS_PER_DEGREE, SHAPE, WATER
from harness.support.packages import provenance
from harness.support.tilefolder import Layout, Piece, Progress, Split, write_folder

TILE_SIZES = (128, 256)
CRS = "EPSG:4326"
#: Side of a square of as much ground as a pixel of test has on average: 7413 m north to south, 0.70 of that east to west, where
#: it shrinks with the cosine of the latitude (0.23 to 1.00). Of train and val it is 5969 and 5940 m.
GSD_M = 6211.0
#: Blue Marble is made of MODIS bands 1, 4 and 3.
BANDS = (
    Band(name="red", wavelength_um=0.645),
    Band(name="green", wavelength_um=0.555),
    Band(name="blue", wavelength_um=0.469),
)
#: Per band over the train split at 128 px.
MEAN = (78.4178, 86.4225, 87.0402)
STD = (76.6898, 66.9681, 68.9266)
TEST_LONGITUDES, VAL_LONGITUDES = (-86.5, -42.0), (67.0, 103.0)
SOUTH_LIMIT, NORTH_LIMIT = -82.0, 84.0
MIN_LAND, MOSTLY_ICE, KEEP_ONE_IN = 0.05, 0.98, 6
REGION_DEGREES = 20
RULES = (
    "labels: MODIS IGBP 2019, nearest 0.05 degree pixel to each pixel center; 0 water, 15 permanent_ice, 1-5 forest, 6-10 shrub_grass_savanna, "
    "11 wetland, 12-14 crop_urban, 16 barren",
    "south of 60 S: water inside a GSHHG level 5 polygon is ice_shelf, permanent_ice outside is water",
    "grid: rows from (2700 mod tile) // 2, columns from 0, whole tiles only",
    "dropped: less than 5 % land, center south of 82 S or north of 84 N",
    "more than 98 % permanent_ice or ice_shelf: kept where (row + column) mod 6 is 0",
    "split by longitude of the column's center: test -86.5 to -42, val 67 to 103, train the rest without the columns that touch test or val",
    "region: block of 20 x 20 degrees that the center lies in",
)
CAVEATS = (
    "Pixels of 7.4 km, a snowy month, weak labels (ice_shelf above all): it tests that a model learns from real pixels. "
    "Its scores say nothing about Cryo-Bench."
)


@dataclass(frozen=True)
class Place:
    """A kept tile: row and column of the grid, first pixel, split and region."""

    row: int
    column: int
    top: int
    left: int
    split: Split
    region: str


def build(layout: Layout, root: Path, progress: Progress, *, tile: int, classes: Sequence[int]) -> None:
    """Write the set; `classes[i]` is its class for index i of the eight. Raises ConfigError for a tile size that it doesn't come in."""
    if tile not in TILE_SIZES:
        raise ConfigError(f"{layout.name} has no tiles of {tile} px", f"choose one of {', '.join(map(str, TILE_SIZES))}")
    progress(0, 1, "reading the picture and the land cover")
    picture, labels = sources.read_picture(), sources.read_labels()
    places = chosen(labels, tile)
    facts = provenance(sources.SOURCES, dataset=layout.name, version=layout.version, rules=RULES, options={"tile": tile})
    pieces = _pieces(places, picture, np.asarray(classes, dtype=np.uint8)[labels], tile)
    write_folder(root, layout, pieces=pieces, total=len(places), tile=tile, provenance=facts, progress=progress)


def chosen(labels: np.ndarray, tile: int) -> list[Place]:
    """The kept tiles of the world's labels (indices of the eight classes), in grid order."""
    splits = column_splits(tile)
    first = (SHAPE[0] % tile) // 2
    grid = [(row, column) for row in range((SHAPE[0] - first) // tile) for column in range(len(splits))]
    places = []
    for row, column in grid:
        top, left, split = first + row * tile, column * tile, splits[column]
        latitude, longitude = _center(top, left, tile)
        if split and SOUTH_LIMIT <= latitude <= NORTH_LIMIT and _is_kept(labels[top : top + tile, left : left + tile], row + column):
            places.append(Place(row, column, top, left, split, _region(latitude, longitude)))
    return places


def column_splits(tile: int) -> list[Split | None]:
    """The split of every column of tiles; None for the train columns that touch test or val."""
    longitudes = [_center(0, column * tile, tile)[1] for column in range(SHAPE[1] // tile)]
    splits = [_split(longitude) for longitude in longitudes]
    padded = ["train", *splits, "train"]
    return [None if split == "train" and {before, after} != {"train"} else split for before, split, after in zip(padded, splits, padded[2:], strict=False)]


def _split(longitude: float) -> Split:
    if TEST_LONGITUDES[0] <= longitude <= TEST_LONGITUDES[1]:
        return "test"
    return "val" if VAL_LONGITUDES[0] <= longitude <= VAL_LONGITUDES[1] else "train"


def _center(top: int, left: int, tile: int) -> tuple[float, float]:
    return 90 - (top + tile / 2) / PIXELS_PER_DEGREE, -180 + (left + tile / 2) / PIXELS_PER_DEGREE


def _is_kept(labels: np.ndarray, position: int) -> bool:
    if (labels != WATER).mean() < MIN_LAND:
        return False
    return np.isin(labels, (ICE, ICE_SHELF)).mean() <= MOSTLY_ICE or position % KEEP_ONE_IN == 0


def _region(latitude: float, longitude: float) -> str:
    south, west = (int(value // REGION_DEGREES * REGION_DEGREES) for value in (latitude, longitude))
    return f"lat{south:+d}lon{west:+d}"


def _pieces(places: Sequence[Place], picture: np.ndarray, labels: np.ndarray, tile: int) -> Iterator[Piece]:
    for place in places:
        window = (slice(place.top, place.top + tile), slice(place.left, place.left + tile))
        pixel = 1 / PIXELS_PER_DEGREE
        transform = from_origin(-180 + place.left * pixel, 90 - place.top * pixel, pixel, pixel)
        yield Piece(f"r{place.row:02d}c{place.column:02d}", place.split, place.region, picture[:, *window], labels[window], transform)
