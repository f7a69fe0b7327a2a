"""Every data set, read through its true reader from a few fake tiles, and every way in which its folder can be broken."""

import json
import re

import numpy as np
import pytest

from harness.core.errors import ConfigError, DataError
from harness.core.registry import DATASETS
from harness.datasets.synthetic import spec_of
from harness.stages import data_folder
from harness.support.data_summary import draw_contact_sheet, summarize

SPLITS = ("train", "val", "test")


@pytest.fixture(params=DATASETS.names())
def spec(request):
    return DATASETS.load(request.param)


@pytest.fixture
def root(spec, tmp_path):
    spec.fake(tmp_path / "set", 0)
    return tmp_path / "set"


def edit_index(root, change):
    index = json.loads((root / "index.json").read_text())
    change(index)
    (root / "index.json").write_text(json.dumps(index))


def test_facts_fit_each_other(spec):
    bands = len(spec.bands)
    assert len(spec.mean) == len(spec.std) == bands
    assert all(value > 0 for value in spec.std)
    assert len(spec.colors) == len(set(spec.colors)) == spec.num_classes == len(set(spec.classes))
    assert spec.license
    assert spec.citation
    assert spec.caveats
    assert re.fullmatch(r"[a-z0-9_]+", spec.name)
    assert spec.name in DATASETS.names()
    assert "majority" in spec.baselines


@pytest.mark.parametrize("split", SPLITS)
def test_tiles(spec, root, split):
    source = spec.open(root, split)
    tiles = [source[index] for index in range(len(source))]
    assert len(tiles) >= 2
    assert len({tile.name for tile in tiles}) == len(tiles)
    assert len({tile.region for tile in tiles}) >= 2
    for tile in tiles:
        assert tile.image.dtype == np.float32
        assert tile.mask.dtype == np.int64
        assert tile.image.shape == (len(spec.bands), *tile.mask.shape)
        assert set(np.unique(tile.mask)) <= set(range(spec.num_classes))
        west, south, east, north = tile.bounds
        assert west < east
        assert south < north


def test_baselines_give_classes(spec, root):
    image = spec.open(root, "test")[0].image
    for predict in spec.baselines.values():
        labels = predict(image)
        assert labels.shape == image.shape[1:]
        assert labels.dtype == np.int64
        assert 0 <= labels.min() <= labels.max() < spec.num_classes


def test_fake_is_the_same_for_a_seed(spec, root, tmp_path):
    spec.fake(tmp_path / "again", 0)
    spec.fake(tmp_path / "other", 1)
    assert contents(tmp_path / "again") == contents(root)
    assert contents(tmp_path / "other") != contents(root)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_index_out_of_range_ends_iteration(spec, root):
    assert len(list(spec.open(root, "val"))) == len(spec.open(root, "val"))


def test_unknown_split(spec, root):
    with pytest.raises(ConfigError, match="unknown split 'validation'") as caught:
        spec.open(root, "validation")
    assert caught.value.hint == "choose one of train, val, test"


@pytest.mark.parametrize("made", [True, False])
def test_set_that_is_not_prepared(spec, tmp_path, made):
    if made:
        (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="is not prepared") as caught:
        spec.open(tmp_path / "none", "train")
    assert str(tmp_path / "none") in caught.value.message
    assert caught.value.hint == f"harness data prepare {spec.name}" + (" --force" if made else "")


@pytest.mark.parametrize(("tile", "options"), [(None, ""), (17, " --tile 17")])
def test_the_advice_makes_the_very_set_that_is_not_there(spec, tile, options, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    for root, more in ((None, ""), (tmp_path / "my data", f" --root '{tmp_path / 'my data'}'")):
        with pytest.raises(DataError) as caught:
            spec.open(data_folder(spec, root, tile), "train")
        assert caught.value.hint == f"harness data prepare {spec.name}{options}{more}"


def test_empty_split(spec, root):
    edit_index(root, lambda index: index.update(tiles=[row for row in index["tiles"] if row["split"] != "val"]))
    with pytest.raises(DataError, match=r"the split 'val' of .* is empty") as caught:
        spec.open(root, "val")
    assert caught.value.hint == f"harness data prepare {spec.name} --force"


def test_index_of_another_set_or_version(spec, root):
    edit_index(root, lambda index: index.update(version="0"))
    with pytest.raises(DataError, match=f"holds {spec.name} 0, wanted {spec.name} {spec.version}"):
        spec.open(root, "train")


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', "[]"])
def test_broken_index(spec, root, text):
    (root / "index.json").write_text(text)
    with pytest.raises(DataError, match=r"index\.json"):
        spec.open(root, "train")


def test_index_does_not_lead_outside_the_folder(spec, root):
    edit_index(root, lambda index: index["tiles"][0].update(name="../../x"))
    with pytest.raises(DataError, match=r"tiles\.0\.name"):
        spec.open(root, "train")


@pytest.mark.parametrize("part", ["images", "masks"])
def test_tile_that_is_gone_or_cut_short(spec, root, part):
    path = root / "test" / part / "fake0.tif"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=re.escape(str(path))):
        spec.open(root, "test")[0]
    path.unlink()
    with pytest.raises(DataError, match=f"{re.escape(str(path))} does not exist"):
        spec.open(root, "test")[0]


def test_summary_counts_what_is_there(spec, root):
    summary = summarize(spec, root)
    json.dumps(summary, allow_nan=False)
    for split in SPLITS:
        source, found = spec.open(root, split), summary["splits"][split]
        tiles = [source[index] for index in range(len(source))]
        images, masks = np.stack([tile.image for tile in tiles]), np.stack([tile.mask for tile in tiles])
        assert (found["tiles"], found["regions"], found["pixels"]) == (len(tiles), 2, masks.size)
        assert sum(found["class_balance"].values()) == pytest.approx(1)
        assert found["class_balance"][spec.classes[1]] == pytest.approx((masks == 1).mean())
        for number, band in enumerate(spec.bands):
            values = images[:, number].astype(np.float64)
            assert found["bands"][band.name] == pytest.approx({"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max()})


def test_summary_finds_a_changed_file(spec, root):
    path = root / "train" / "masks" / "fake1.tif"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"fake1\.tif is not the file that was prepared"):
        summarize(spec, root)


def test_contact_sheet_is_a_picture(spec, root, tmp_path):
    from PIL import Image

    path = draw_contact_sheet(spec, root, tmp_path / "out" / "sheet.png", count=8)
    with Image.open(path) as sheet:
        sheet.load()
        assert sheet.format == "PNG"
        assert len(sheet.getcolors(sheet.width * sheet.height)) > 50
    again = draw_contact_sheet(spec, root, tmp_path / "again.png", count=8)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("bands", [1, 2, 4, 12])
def test_synthetic_with_any_number_of_bands(tmp_path, bands):
    spec = spec_of(bands)
    spec.prepare(tmp_path / "set", lambda done, total, what: None, tile=32)
    assert spec.open(tmp_path / "set", "train")[0].image.shape == (bands, 32, 32)
    assert len(spec.mean) == len(spec.bands) == bands
    assert len({band.name for band in spec.bands}) == bands


def test_tile_sizes_that_a_set_does_not_have(spec, tmp_path):
    with pytest.raises(ConfigError, match="has no tiles of 7 px"):
        spec.prepare(tmp_path / "set", lambda done, total, what: None, tile=7)
    assert not list(tmp_path.iterdir())
