"""Windows over a scene: places as in Cryo-Bench, averages by hand, any stride, any shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.core.specs import Tile
from harness.support import scenes
from harness.support.windows import count_windows, pixels_per_window, predict, predict_stream, predict_strips, starts

PUBLISHED = {300: {224: 4, 192: 4, 128: 9, 120: 9}, 512: {224: 9, 192: 9, 128: 16, 120: 25}, 1024: {224: 25, 192: 36, 128: 64, 120: 81}}


@pytest.mark.parametrize(("side", "size", "count"), [(side, size, count) for side, row in PUBLISHED.items() for size, count in row.items()])
def test_counts_are_those_of_the_published_protocol(side, size, count):
    assert count_windows(side, side, size) == count


def test_pixels_that_a_window_is_good_for_by_hand():
    assert pixels_per_window([(224, 224)], 224) == 224**2
    assert pixels_per_window([(128, 128)], 224) == 128**2
    assert pixels_per_window([(512, 512)], 224) == 512**2 / 9
    assert pixels_per_window([(512, 512), (100, 448)], 224) == (512**2 + 100 * 448) / 11


def test_places_by_hand():
    assert starts(512, 224) == [0, 144, 288]
    assert starts(300, 224) == [0, 76]
    assert starts(224, 224) == [0]
    assert starts(100, 224) == [0]
    assert starts(10, 4, stride=2) == [0, 2, 4, 6]


@pytest.mark.parametrize("stride", [0, -1, 5])
def test_a_stride_that_leaves_gaps_is_refused(stride):
    with pytest.raises(ConfigError, match="leaves gaps"):
        starts(10, 4, stride=stride)


def test_strips_are_the_whole_and_come_as_soon_as_they_are_done():
    image = np.random.default_rng(1).normal(size=(2, 50, 33)).astype(np.float32)
    seen = []

    def run(windows):
        seen.append(len(windows))
        return windows * 3

    strips = predict_strips(run, image, 8, batch=4)
    top, first = next(strips)
    assert top == 0
    assert sum(seen) < count_windows(50, 33, 8) / 2
    rest = list(strips)
    assert [start for start, _ in rest] == list(np.cumsum([first.shape[1], *(logits.shape[1] for _, logits in rest)]))[:-1]
    np.testing.assert_allclose(np.concatenate([first, *(logits for _, logits in rest)], axis=1), image * 3, rtol=1e-6)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_windows_of_neighboring_images_share_calls_and_give_the_same(batch):
    rng = np.random.default_rng(2)
    images = [rng.normal(size=(2, height, width)).astype(np.float32) for height, width in ((20, 20), (8, 8), (5, 30), (8, 8), (33, 9))]
    calls = []

    def run(windows):
        calls.append(len(windows))
        return np.cumsum(windows, axis=2)

    found = {}
    for number, top, strip in predict_stream(run, iter(images), 8, batch=batch):
        assert top == sum(part.shape[1] for part in found.get(number, []))
        found.setdefault(number, []).append(strip)
    assert list(found) == [0, 1, 2, 3, 4]
    total = sum(count_windows(*image.shape[1:], 8) for image in images)
    assert calls == [batch] * (total // batch) + [total % batch] * bool(total % batch)
    for number, image in enumerate(images):
        alone = predict(lambda windows: np.cumsum(windows, axis=2), image, 8, batch=1)
        np.testing.assert_array_equal(np.concatenate(found[number], axis=1), alone)


@pytest.mark.parametrize("side", [(7, 9), (16, 16), (17, 40), (33, 15)])
def test_a_scene_is_cut_into_the_same_blocks_as_its_mask(side, monkeypatch):
    monkeypatch.setattr(scenes, "BLOCK", 16)
    rng = np.random.default_rng(0)
    image, mask = rng.normal(size=(2, *side)).astype(np.float32), rng.integers(0, 2, side)
    parts = list(scenes.parts_of(Tile("scene", image, mask, region="r")))
    logits = list(scenes.cut(predict_strips(lambda windows: windows, image, 8, batch=3), *side))
    assert len(parts) == len(logits) == -(-side[0] // 16) * -(-side[1] // 16)
    for part, one in zip(parts, logits, strict=True):
        assert part.region == "r"
        assert max(part.mask.shape) <= 16
        np.testing.assert_allclose(part.image, one, rtol=1e-6)
    assert sum(part.mask.sum() for part in parts) == mask.sum()


@pytest.mark.parametrize(("side", "lengths"), [(1024, [1024]), (1025, [512, 513]), (1030, [515, 515]), (3000, [1000] * 3), (10980, [998] * 9 + [999] * 2)])
def test_no_block_is_a_sliver(side, lengths):
    spans = scenes.spans(side)
    assert [span.stop for span in spans][:-1] == [span.start for span in spans][1:]
    found = [span.stop - span.start for span in spans]
    assert (spans[0].start, spans[-1].stop) == (0, side)
    assert sorted(found) == lengths


def test_a_scene_a_little_larger_than_a_block_is_four_equal_ones():
    image, mask = np.zeros((1, 1030, 1030), np.float32), np.zeros((1030, 1030), np.int64)
    parts = list(scenes.parts_of(Tile("scene", image, mask, region="r")))
    assert [(part.name, part.mask.shape) for part in parts] == [(f"scene@{top},{left}", (515, 515)) for top in (0, 515) for left in (0, 515)]
    assert all(map(scenes.is_block, parts))
    assert not scenes.is_block(Tile("scene", image[:, :9, :9], mask[:9, :9], region="r"))


def test_overlaps_are_averaged_by_hand():
    """Each window answers with its own number; a column seen by two windows has their mean."""
    numbers = iter([1.0, 2.0, 4.0])

    def run(windows):
        return np.stack([np.full((1, 2, 2), next(numbers)) for _ in windows])

    logits = predict(run, np.zeros((1, 2, 5), np.float32), 2)
    assert starts(5, 2) == [0, 2, 3]
    np.testing.assert_allclose(logits[0], [[1, 1, 2, 3, 4]] * 2)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16), st.integers(1, 16), st.integers(1, 7))
@settings(max_examples=150, deadline=None)
def test_a_pixel_wise_model_gives_the_same_with_and_without_windows(height, width, size, stride, batch):
    image = np.random.default_rng(0).normal(size=(3, height, width)).astype(np.float32)
    calls = []

    def run(windows):
        calls.append(len(windows))
        assert windows.shape[1:] == (3, size, size)
        return windows[:, :2] * 2

    logits = predict(run, image, size, stride=min(stride, size), batch=batch)
    np.testing.assert_allclose(logits, image[:2] * 2, rtol=1e-5, atol=1e-6)
    assert max(calls) <= batch
    assert sum(calls) == count_windows(height, width, size, min(stride, size))
