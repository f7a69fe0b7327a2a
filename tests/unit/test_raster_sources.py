"""The rules that turn packaged files into tiles, on cases counted by hand."""

import importlib.metadata
import itertools
import struct

import numpy as np
import pytest
from rasterio.transform import from_origin

from harness.core.errors import DataError, UnavailableError
from harness.core.files import sha256_of_text
from harness.datasets.mars_craters import SIDE, band_rows, disks
from harness.support import packages
from harness.support.bluemarble import chosen, column_splits
from harness.support.bluemarble_sources import grouped, with_ice_front
from harness.support.gshhg import inside, read_polygons
from harness.support.packages import PackagedFile, locate


def packaged(**changes):
    known = {"package": "toy-data", "version": "1.2", "file": "world.txt", "sha256": sha256_of_text("hello"), "license": "MIT", "citation": "nobody"}
    return PackagedFile(**{**known, **changes})


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A real distribution on disk, found by importlib.metadata, with one file outside its package folder."""
    site = tmp_path / "lib" / "site-packages"
    facts = site / "toy_data-1.2.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-data\nVersion: 1.2\n")
    (facts / "RECORD").write_text("../../world.txt,,\ntoy_data-1.2.dist-info/METADATA,,\n")
    (tmp_path / "world.txt").write_text("hello")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    return tmp_path


def test_packaged_file_is_found_also_outside_the_package(installed):
    assert locate(packaged()).resolve() == (installed / "world.txt").resolve()


def test_missing_package_names_the_command():
    with pytest.raises(UnavailableError) as caught:
        locate(packaged(package="no-such-package-here", version="9"))
    assert caught.value.hint == "pip install --no-deps no-such-package-here==9"


def test_changed_or_missing_source_file(installed):
    (installed / "world.txt").write_text("changed")
    with pytest.raises(DataError, match=r"world\.txt is not the file of toy-data 1\.2: its sha256 is") as caught:
        locate(packaged())
    assert caught.value.hint == "pip install --no-deps --force-reinstall toy-data==1.2"
    (installed / "world.txt").unlink()
    with pytest.raises(DataError, match=r"has no file world\.txt"):
        locate(packaged())


def test_provenance_is_the_same_every_time():
    facts = [packages.provenance((packaged(),), dataset="d", version="1", rules=("r",), options={"tile": 4}) for _ in range(2)]
    assert facts[0] == facts[1]
    assert facts[0]["sources"][0]["sha256"] == packaged().sha256


def write_polygons(folder, polygons):
    """GSHHG files of (level, points) polygons, written from the format's description."""
    content, lines = b"", []
    for number, (level, points) in enumerate(polygons):
        packed = struct.pack(f"<{2 * len(points)}f", *(value for point in points for value in point))
        latitudes = [point[1] for point in points]
        lines.append(f"{level} 1.0 {len(points)} {min(latitudes)} {max(latitudes)} {len(content)} {len(packed)} {number}")
        content += packed
    (folder / "data").write_bytes(content)
    (folder / "index").write_text("\n".join(lines) + "\n")
    return folder / "data", folder / "index"


def test_polygons_of_one_level(tmp_path):
    square = [(1, 1), (3, 1), (3, 3), (1, 3), (1, 1)]
    paths = write_polygons(tmp_path, [(1, [(0, 0), (9, 0), (9, 9), (0, 0)]), (5, square)])
    (polygon,) = read_polygons(*paths, level=5)
    assert polygon.tolist() == [list(map(float, point)) for point in square]
    filled = inside(iter([polygon]), shape=(4, 4), transform=from_origin(0, 4, 1, 1))
    assert np.argwhere(filled).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_polygon_index_that_does_not_fit_its_data(tmp_path):
    data, index = write_polygons(tmp_path, [(5, [(0, 0), (1, 0), (1, 1)])])
    index.write_text(index.read_text().replace(" 24 ", " 32 "))
    with pytest.raises(DataError, match="points outside"):
        list(read_polygons(data, index, level=5))


def test_igbp_groups():
    assert grouped(np.arange(17, dtype=np.uint8)).tolist() == [0, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 1, 6]
    with pytest.raises(DataError, match="class 255"):
        grouped(np.array([0, 255], np.uint8))


def test_ice_front_decides_only_south_of_60():
    labels = np.zeros((18, 4), np.uint8)  # 10 degrees a row; the last three are south of 60 S
    labels[:, 1], labels[:, 2], labels[:, 3] = 1, 6, 1
    front = np.zeros((18, 4), bool)
    front[:, [0, 1, 2]] = True
    fixed = with_ice_front(labels, front)
    assert (fixed[:15] == labels[:15]).all()
    assert fixed[15:].tolist() == [[7, 1, 6, 0]] * 3


def test_columns_that_touch_test_or_val_are_dropped():
    splits = column_splits(128)
    assert len(splits) == 42
    assert [index for index, split in enumerate(splits) if split == "test"] == [11, 12, 13, 14, 15]
    assert [index for index, split in enumerate(splits) if split == "val"] == [29, 30, 31, 32]
    assert [index for index, split in enumerate(splits) if split is None] == [10, 16, 28, 33]


def test_kept_tiles_of_a_made_up_world():
    labels = np.zeros((2700, 5400), np.uint8)
    assert chosen(labels, 128) == []
    labels[6 + 128 * 5 : 6 + 128 * 6, :] = 1  # row 5 of the grid is all ice: one in six is kept
    labels[6 + 128 * 9 : 6 + 128 * 9 + 7, :] = 3  # row 9 has 7 of 128 lines of land, above 5 %
    labels[6 + 128 * 12 : 6 + 128 * 12 + 6, :] = 3  # row 12 has 6 lines, below 5 %
    labels[:6, :] = 3  # above the grid
    places = chosen(labels, 128)
    assert {place.row for place in places} == {5, 9}
    assert [place.column for place in places if place.row == 5] == [1, 7, 13, 19, 25, 31, 37]
    assert sum(place.row == 9 for place in places) == 38
    assert chosen(np.full((2700, 5400), 3, np.uint8), 128)[0].row == 1  # row 0 is centered at 85.3 N


def test_disks_are_pixels_whose_center_is_in_the_circle():
    side = 12
    drawn = disks([(6.0, 5.0, 6.0), (0.0, 11.9, 5.0)], side)
    for row in range(side):
        for column in range(side):
            near = [np.hypot(column + 0.5 - x, row + 0.5 - y) <= diameter / 2 for x, y, diameter in ((6, 5, 6), (0, 11.9, 5))]
            assert drawn[row, column] == any(near)


@pytest.mark.parametrize(("tile", "rows"), [(128, (8, 2, 3)), (256, (4, 1, 1))])
def test_bands_do_not_touch(tile, rows):
    bands = band_rows(tile)
    assert tuple(sum(split == name for split, _ in bands) for name in ("train", "val", "test")) == rows
    assert bands[-1][1] + tile <= SIDE
    for (before, top), (after, below) in itertools.pairwise(bands):
        assert below - (top + tile) == 0 if before == after else below - (top + tile) >= 18
