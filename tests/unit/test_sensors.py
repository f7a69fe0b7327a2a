"""Bands of the sensors, and the check that an encoder gets the bands it takes."""

from __future__ import annotations

import pytest

from harness.core.errors import ConfigError
from harness.core.specs import Band, names_of
from harness.support.bands import plan_bands
from harness.support.sensors import RGB, SENTINEL1, SENTINEL2, SENTINEL2_L2A, is_same_band, require_bands, sentinel2


def test_tables_are_in_the_sensors_order() -> None:
    assert names_of(SENTINEL2) == ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
    assert set(SENTINEL2) - set(SENTINEL2_L2A) == {Band(name="B10", wavelength_um=1.375)}
    assert [band.wavelength_um for band in RGB] == [0.665, 0.56, 0.49]
    assert [band.wavelength_um for band in SENTINEL1] == [None, None]


def test_no_two_bands_of_a_sensor_are_the_same() -> None:
    bands = SENTINEL2 + SENTINEL1
    assert all((one is other) == is_same_band(one, other) for one in bands for other in bands)


def test_a_camera_with_other_names_is_matched_by_wavelength() -> None:
    camera = [Band(name="red", wavelength_um=0.65), Band(name="green", wavelength_um=0.55), Band(name="blue", wavelength_um=0.47)]
    require_bands("any", camera, RGB)


@pytest.mark.parametrize("given", [RGB[::-1], RGB[:2], SENTINEL1, (), [Band(name="slope"), *RGB[1:]], [Band(name="B4", sensor="sar"), *RGB[1:]]])
def test_other_bands_are_refused_by_name(given: tuple[Band, ...]) -> None:
    with pytest.raises(ConfigError, match=r"encoder any takes the bands B4, B3, B2 in this order"):
        require_bands("any", given, RGB)


def test_two_near_bands_of_a_camera_go_where_they_are_nearest_whatever_their_order() -> None:
    """Within the tolerance either could stand for B8 and for B8A."""
    camera = (Band(name="narrow", wavelength_um=0.866), Band(name="wide", wavelength_um=0.840))
    assert plan_bands("any", camera, sentinel2("B8", "B8A")).sources == (1, 0)
    assert plan_bands("any", camera[::-1], sentinel2("B8", "B8A")).is_identity


def test_the_bands_of_several_images_stay_with_their_image() -> None:
    assert plan_bands("any", RGB * 2, RGB * 2).is_identity
    drone = tuple(Band(name=name, wavelength_um=length) for name, length in (("red", 0.66), ("green", 0.55), ("blue", 0.48)))
    assert plan_bands("any", drone * 2, RGB * 2).is_identity
