"""Land cover on NASA Blue Marble: eight classes, the tiles of bluemarble_ice. See docs/data.md."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from harness.core.specs import DatasetSpec
from harness.support import bluemarble
from harness.support.baselines import constant, nearest_mean
from harness.support.bluemarble_sources import CLASSES, SOURCES
from harness.support.fake_tiles import write_fake
from harness.support.tilefolder import Layout, Progress, open_folder

LAYOUT = Layout("bluemarble_landcover", "1", bands=3, classes=len(CLASSES), crs=bluemarble.CRS)
#: Mean red, green and blue of each class over the train split at 128 px.
CLASS_MEANS = (
    (20.1, 47.0, 87.2),
    (243.1, 247.4, 249.4),
    (28.9, 42.3, 14.8),
    (87.0, 82.2, 56.2),
    (68.2, 75.0, 56.9),
    (71.9, 74.9, 40.8),
    (180.6, 153.7, 118.3),
    (232.3, 239.9, 244.5),
)


def prepare(root: Path, progress: Progress, *, tile: int = 128) -> None:
    """Build the set in `root`. Raises UnavailableError (a package is missing), DataError (a source differs) or ConfigError (tile size)."""
    bluemarble.build(LAYOUT, root, progress, tile=tile, classes=range(len(CLASSES)))


DATASET = DatasetSpec(
    name=LAYOUT.name,
    version=LAYOUT.version,
    bands=bluemarble.BANDS,
    classes=CLASSES,
    mean=bluemarble.MEAN,
    std=bluemarble.STD,
    tile=128,
    prepare=prepare,
    open=partial(open_folder, LAYOUT),
    fake=partial(write_fake, LAYOUT),
    license="; ".join(dict.fromkeys(source.license for source in SOURCES)),
    citation=" ".join(dict.fromkeys(source.citation for source in SOURCES)),
    gsd_m=bluemarble.GSD_M,
    colors=((30, 60, 160), (230, 250, 255), (20, 110, 40), (190, 190, 90), (0, 190, 170), (240, 130, 40), (200, 160, 120), (200, 90, 220)),
    caveats=bluemarble.CAVEATS,
    baselines={"majority": constant(0), "nearest_color": nearest_mean(CLASS_MEANS)},
)
