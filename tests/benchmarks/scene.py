"""Host memory of scoring a scene of 10,980 x 10,980 px (one Sentinel-2 granule) in windows, in a process of its own.

The model is a classifier by nearest color in numpy, so the figure is the evaluation's own, not a network's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from harness.core.registry import METRICS
from harness.core.specs import Tile
from harness.support import host_memory
from harness.support.clock import wall_clock
from harness.support.scenes import BLOCK, cut, parts_of
from harness.support.windows import predict_strips

SIDE, BANDS, WINDOW = 10_980, 4, 512
CLASSES = ("dark", "bright")
LIMIT = 2e9


class Raster:
    """A raster file that is read where it is sliced: (bands, H, W), or (H, W) of its first band."""

    def __init__(self, path: Path, *, flat: bool = False) -> None:
        self._file, self._flat = rasterio.open(path), flat
        shape = (self._file.height, self._file.width)
        self.shape = shape if flat else (self._file.count, *shape)

    def __getitem__(self, place: tuple[slice, ...]) -> np.ndarray:
        rows, columns = (slice(*part.indices(side)) for part, side in zip(place[-2:], self.shape[-2:], strict=True))
        window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        values = self._file.read(1, window=window) if self._flat else self._file.read(window=window)
        return values.astype(np.int64 if self._flat else np.float32)


def write_scene(folder: Path, side: int) -> None:
    """`image.tif` and `mask.tif`, written a strip at a time."""
    facts = {"driver": "GTiff", "width": side, "height": side, "dtype": "uint8", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    rng = np.random.default_rng(0)
    with rasterio.open(folder / "image.tif", "w", count=BANDS, **facts) as image, rasterio.open(folder / "mask.tif", "w", count=1, **facts) as mask:
        for top in range(0, side, BLOCK):
            rows = min(BLOCK, side - top)
            labels = np.repeat(rng.integers(0, 2, (rows, -(-side // 64)), np.uint8), 64, axis=1)[:, :side]
            window = Window(0, top, side, rows)
            mask.write(labels, 1, window=window)
            image.write(np.repeat((50 + 100 * labels)[None], BANDS, axis=0), window=window)


def score(folder: Path) -> dict[str, Any]:
    """All metrics over the scene, with the peak of this process and the seconds."""
    tile = Tile("scene", Raster(folder / "image.tif"), Raster(folder / "mask.tif", flat=True), region="scene")  # type: ignore[arg-type]
    metrics = [METRICS.load(name).start(CLASSES, None) for name in METRICS.names()]

    def run(windows: np.ndarray) -> np.ndarray:
        return np.stack([100 - windows[:, 0], windows[:, 0] - 100], axis=1)

    host_memory.reset_peak()
    before, begin = host_memory.resident(), wall_clock()
    blocks = cut(predict_strips(run, tile.image, WINDOW), *tile.image.shape[1:])
    for part, logits in zip(parts_of(tile), blocks, strict=True):
        for metric in metrics:
            metric.update(logits, part.mask, part.region)
    scores = {outcome.quantity: outcome.value for metric in metrics for outcome in metric.result()}
    return {"peak_bytes": host_memory.peak(), "before_bytes": before, "seconds": wall_clock() - begin, "scores": scores}


def measure(folder: Path, side: int = SIDE) -> dict[str, Any]:
    write_scene(folder, side)
    said = subprocess.run([sys.executable, "-m", "tests.benchmarks.scene", str(folder)], check=True, capture_output=True, text=True).stdout
    return {"side": side, "bands": BANDS, "window": WINDOW, "limit_bytes": LIMIT, **json.loads(said)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(score(Path(sys.argv[1]))))
