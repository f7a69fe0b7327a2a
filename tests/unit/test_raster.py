"""Tiles that are whole are read as they were written; every kind of broken tile is one clear error."""

import warnings

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from harness.core.errors import DataError
from harness.support.raster import TileRule, read_tile, tiff_bytes

PLACE = from_origin(10, 50, 0.5, 0.5)
RULE = TileRule(bands=3, classes=2, ignore_index=255, hint="harness data prepare demo")


@pytest.fixture
def good():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, 16, 16)).astype(np.uint8), rng.integers(0, 2, (1, 16, 16)).astype(np.uint8)


def write(path, array, *, transform=PLACE, crs="EPSG:4326", nodata=None):
    profile = {"count": len(array), "height": array.shape[1], "width": array.shape[2], "dtype": array.dtype}
    with rasterio.open(path, "w", driver="GTiff", transform=transform, crs=crs, nodata=nodata, **profile) as file:
        file.write(array)
    return path


def refused(tmp_path, image, mask, **options):
    """The error for a tile, which must name one of the two files and the next command."""
    paths = write(tmp_path / "image.tif", image, **options.pop("image_options", {})), write(tmp_path / "mask.tif", mask, **options.pop("mask_options", {}))
    with pytest.raises(DataError) as caught:
        read_tile(*paths, rule=options.pop("rule", RULE))
    assert caught.value.hint == "harness data prepare demo"
    assert str(tmp_path) in caught.value.message
    return caught.value.message


def test_whole_tile_is_read_as_written(tmp_path, good):
    image, mask = good
    mask[0, 0, 0] = 255
    tile = read_tile(write(tmp_path / "image.tif", image), write(tmp_path / "mask.tif", mask), rule=RULE, region="north")
    assert (tile.image.dtype, tile.mask.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(tile.image, image)
    np.testing.assert_array_equal(tile.mask, mask[0])
    assert (tile.name, tile.region, tile.crs, tile.bounds) == ("image", "north", "EPSG:4326", (10.0, 42.0, 18.0, 50.0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_bytes_are_the_same_every_time_and_read_back(tmp_path, dtype):
    array = np.random.default_rng(1).integers(0, 200, (2, 8, 8)).astype(dtype)
    written = tiff_bytes(array, transform=PLACE, crs="EPSG:4326")
    assert written == tiff_bytes(array.copy(), transform=PLACE, crs="EPSG:4326")
    (tmp_path / "a.tif").write_bytes(written)
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(), array)
        assert file.transform == PLACE
        assert "TIFFTAG_DATETIME" not in file.tags()


@pytest.mark.parametrize("kept", [0, 3, 100, 0.5, 0.99])
@pytest.mark.parametrize("which", ["image.tif", "mask.tif"])
def test_truncated_file(tmp_path, good, kept, which):
    image, mask = good
    write(tmp_path / "image.tif", image)
    write(tmp_path / "mask.tif", mask)
    whole = (tmp_path / which).read_bytes()
    (tmp_path / which).write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(DataError) as caught:
        read_tile(tmp_path / "image.tif", tmp_path / "mask.tif", rule=RULE)
    assert which in caught.value.message
    assert caught.value.hint == "harness data prepare demo"


def test_missing_file(tmp_path, good):
    with pytest.raises(DataError, match=r"nowhere\.tif does not exist"):
        read_tile(write(tmp_path / "image.tif", good[0]), tmp_path / "nowhere.tif", rule=RULE)


def test_wrong_number_of_bands(tmp_path, good):
    assert "image.tif has 2 bands, wanted 3" in refused(tmp_path, good[0][:2], good[1])
    assert "mask.tif has 3 bands, wanted 1" in refused(tmp_path, good[0], good[0])


@pytest.mark.parametrize(("value", "said"), [(np.nan, "1 NaN and 0 infinite values of 768"), (np.inf, "0 NaN and 1 infinite"), (-np.inf, "1 infinite")])
def test_pixels_that_are_no_numbers(tmp_path, good, value, said):
    image = good[0].astype(np.float32)
    image[1, 2, 3] = value
    assert said in refused(tmp_path, image, good[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_nodata_pixels(tmp_path, dtype):
    image = np.full((3, 16, 16), 7, dtype)
    image[0, 0, :2] = 99
    mask = np.zeros((1, 16, 16), np.uint8)
    assert "2 nodata values (99) of 768" in refused(tmp_path, image, mask, image_options={"nodata": 99})


def test_nan_as_nodata_is_refused(tmp_path, good):
    image = good[0].astype(np.float32)
    image[0, 0, 0] = np.nan
    assert "1 NaN" in refused(tmp_path, image, good[1], image_options={"nodata": np.nan})


def test_nodata_that_no_pixel_has_is_fine(tmp_path):
    image, mask = np.full((3, 4, 4), 7, np.uint8), np.zeros((1, 4, 4), np.uint8)
    tile = read_tile(write(tmp_path / "image.tif", image, nodata=0), write(tmp_path / "mask.tif", mask, nodata=0), rule=RULE)
    assert tile.image.min() == 7


def test_mask_of_another_size(tmp_path, good):
    assert "mask.tif is 16 x 8 px, its image is 16 x 16 px" in refused(tmp_path, good[0], good[1][:, :, :8])


def test_mask_of_another_crs(tmp_path, good):
    said = refused(tmp_path, good[0], good[1], mask_options={"crs": "EPSG:3031"})
    assert "EPSG:3031" in said
    assert "EPSG:4326" in said


def test_mask_of_another_place(tmp_path, good):
    assert "transform" in refused(tmp_path, good[0], good[1], mask_options={"transform": from_origin(10.5, 50, 0.5, 0.5)})
    assert "transform" in refused(tmp_path, good[0], good[1], mask_options={"transform": from_origin(10, 50, 1, 1)})


def test_transforms_that_differ_by_rounding_are_the_same_place(tmp_path, good):
    moved = from_origin(10 + 1e-9, 50, 0.5, 0.5)
    assert read_tile(write(tmp_path / "image.tif", good[0]), write(tmp_path / "mask.tif", good[1], transform=moved), rule=RULE)


def test_labels_that_no_class_has(tmp_path, good):
    image, mask = good
    mask[0, 0, 0] = 2
    assert "labels 2, wanted 0 to 1 or 255" in refused(tmp_path, image, mask)
    negative = mask.astype(np.int16)
    negative[0, 0, 0] = -1
    assert "labels -1" in refused(tmp_path, image, negative)
    broken = np.full((1, 16, 16), 0.5, np.float32)
    assert "labels 0.5" in refused(tmp_path, image, broken)
    broken[:] = np.nan
    assert "labels nan" in refused(tmp_path, image, broken)


def test_ignored_label_needs_to_be_declared(tmp_path, good):
    good[1][0, 0, 0] = 255
    rule = TileRule(bands=3, classes=2, hint="harness data prepare demo")
    assert "labels 255, wanted 0 to 1" in refused(tmp_path, *good, rule=rule)


@pytest.mark.filterwarnings("error::rasterio.errors.NotGeoreferencedWarning")
def test_picture_without_a_place_is_read_without_a_warning(tmp_path, good):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = [write(tmp_path / name, array, transform=None, crs=None) for name, array in zip(("image.tif", "mask.tif"), good, strict=True)]
    assert read_tile(*paths, rule=RULE).crs is None
