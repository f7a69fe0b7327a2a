"""Ice on NASA Blue Marble: two classes, tiles of 128 px at 1/15 degree. See docs/data.md."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from harness.core.specs import DatasetSpec
from harness.support import bluemarble
from harness.support.baselines import constant
from harness.support.bluemarble_sources import SOURCES
from harness.support.fake_tiles import write_fake
from harness.support.tilefolder import Layout, Progress, open_folder

LAYOUT = Layout("bluemarble_ice", "1", bands=3, classes=2, crs=bluemarble.CRS)
#: ice is permanent_ice or ice_shelf.
CLASS_OF_LABEL = (0, 1, 0, 0, 0, 0, 0, 1)
#: (least brightness, largest spread) that one would write down without looking: snow and ice are bright and gray.
PLAIN = (180.0, 30.0)
#: The pair with the highest mIoU on the train split, of 60 to 253 and of 0 to 60 in steps of 2.
TUNED = (235.0, 30.0)


def prepare(root: Path, progress: Progress, *, tile: int = 128) -> None:
    """Build the set in `root`. Raises UnavailableError (a package is missing), DataError (a source differs) or ConfigError (tile size)."""
    bluemarble.build(LAYOUT, root, progress, tile=tile, classes=CLASS_OF_LABEL)


def bright_and_gray(bounds: tuple[float, float], image: np.ndarray) -> np.ndarray:
    """Ice where the mean of red, green and blue is at least, and their spread (largest minus smallest) at most, these bounds."""
    min_brightness, max_spread = bounds
    is_bright: np.ndarray = image.sum(axis=0) >= 3 * min_brightness
    is_gray = image.max(axis=0) - image.min(axis=0) <= max_spread
    return np.asarray(is_bright & is_gray, dtype=np.int64)


DATASET = DatasetSpec(
    name=LAYOUT.name,
    version=LAYOUT.version,
    bands=bluemarble.BANDS,
    classes=("other", "ice"),
    mean=bluemarble.MEAN,
    std=bluemarble.STD,
    tile=128,
    prepare=prepare,
    open=partial(open_folder, LAYOUT),
    fake=partial(write_fake, LAYOUT),
    license="; ".join(dict.fromkeys(source.license for source in SOURCES)),
    citation=" ".join(dict.fromkeys(source.citation for source in SOURCES)),
    gsd_m=bluemarble.GSD_M,
    colors=((70, 70, 70), (0, 190, 255)),
    caveats=bluemarble.CAVEATS,
    baselines={"majority": constant(0), "threshold": partial(bright_and_gray, PLAIN), "tuned_threshold": partial(bright_and_gray, TUNED)},
)
