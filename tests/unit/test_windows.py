"""Windows over a scene: places as in Cryo-Bench, averages by hand, any stride, any shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.support.windows import count_windows, predict, starts

PUBLISHED = {300: {224: 4, 192: 4, 128: 9, 120: 9}, 512: {224: 9, 192: 9, 128: 16, 120: 25}, 1024: {224: 25, 192: 36, 128: 64, 120: 81}}


@pytest.mark.parametrize(("side", "size", "count"), [(side, size, count) for side, row in PUBLISHED.items() for size, count in row.items()])
def test_counts_are_those_of_the_published_protocol(side, size, count):
    assert count_windows(side, side, size) == count


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
