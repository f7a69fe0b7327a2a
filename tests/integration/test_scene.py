"""A scene that is never held as a whole: scored as it is read, in memory that does not depend on its size."""

import pytest

from tests.benchmarks import scene


def test_a_scene_is_scored_as_it_is_read(tmp_path):
    scene.write_scene(tmp_path, 1500)
    found = scene.score(tmp_path)
    assert {name: found["scores"][name] for name in ("miou", "miou_per_image", "pixel_accuracy", "boundary_iou")} == {
        "miou": 1.0,
        "miou_per_image": 1.0,
        "pixel_accuracy": 1.0,
        "boundary_iou": 1.0,
    }


@pytest.mark.slow
def test_a_whole_sentinel_2_granule_takes_less_than_two_gigabytes(tmp_path):
    assert scene.measure(tmp_path)["peak_bytes"] < scene.LIMIT
