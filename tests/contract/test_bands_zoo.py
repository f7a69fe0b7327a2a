"""Radar, RGB, single-band and 13-band data on every encoder: logits, or one error that names the bands and the option that would help."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.core.errors import ConfigError
from harness.core.registry import ENCODERS
from harness.core.specs import Band, names_of
from harness.support.bands import BandPlan, plan_bands
from harness.support.model import SegmentationModel, bands_of, build_model, input_size_for
from harness.support.sensors import RGB, SENTINEL1, SENTINEL2, SENTINEL2_L2A

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")

DATA: dict[str, tuple[Band, ...]] = {
    "radar": SENTINEL1,
    "one polarization": SENTINEL1[:1],
    "rgb": RGB,
    "camera": (Band(name="red", wavelength_um=0.65), Band(name="green", wavelength_um=0.55), Band(name="blue", wavelength_um=0.48)),
    "panchromatic": (Band(name="pan", wavelength_um=0.66),),
    "13 bands": SENTINEL2,
    "optical and radar": (*SENTINEL2_L2A, *SENTINEL1),
}
#: The bands of Sentinel-2 that each was trained on, as recorded of Cryo-Bench.
L2A = "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B11 B12"
ALL = "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B10 B11 B12"
HLS = "B2 B3 B4 B8A B11 B12"
FIXED = {
    "croma": L2A, "spectralgpt": L2A, "terramind": L2A, "s12_moco": ALL, "s12_dino": ALL, "s12_mae": ALL, "s12_data2vec": ALL,
    "gfm_swin": "B4 B3 B2", "remoteclip": "B4 B3 B2", "scalemae": "B4 B3 B2", "satlasnet": "B2 B3 B4 B5 B6 B7 B8 B11 B12", "prithvi": HLS, "prithvi_v2": HLS,
}  # fmt: skip
ANY = ("dofa", "unet", "vit", "timm:resnet18", "smp:resnet34", "torchgeo:resnet18", "torchgeo:dofa_small_patch16_224")
#: What stands for a band of Sentinel-2 in each kind of data.
STANDS_FOR = {"rgb": "B4 B3 B2", "camera": "B4 B3 B2", "panchromatic": "B4", "13 bands": ALL, "optical and radar": L2A, "radar": "", "one polarization": ""}
every_data = pytest.mark.parametrize("data", DATA)


def model(name: str, bands: tuple[Band, ...], **arguments: Any) -> SegmentationModel:
    spec = ENCODERS.load(name)
    with torch.device("meta"):
        return build_model(f"{name}+linear", bands=bands, num_classes=2, input_size=input_size_for(spec, spec.input_size or 64), **arguments).eval()


def require_logits(network: SegmentationModel, bands: int) -> None:
    size = network.fixed_size or 64
    with torch.no_grad(), torch.device("meta"):
        assert network(torch.empty(1, bands, size, size)).shape == (1, 2, size, size)


def plan(name: str, bands: tuple[Band, ...], *, fill_missing: bool = False) -> BandPlan:
    """What `model` makes of the bands, without the network."""
    spec = ENCODERS.load(name)
    return plan_bands(name, bands, bands_of(spec, {}), fill_missing=fill_missing)


def require_match_or_error(name: str, trained: str, data: str) -> None:
    bands = DATA[data]
    missing = [band for band in trained.split() if band not in STANDS_FOR[data].split()]
    if not missing:
        assert plan(name, bands).zero_filled == ()
        return
    with pytest.raises(ConfigError) as raised:
        model(name, bands)
    assert all(band in raised.value.message for band in (*missing, *names_of(bands)))
    if len(missing) < len(trained.split()):
        assert raised.value.message.endswith(f"lacks {', '.join(missing)}")
        assert "--fill-missing-bands" in raised.value.hint
        assert list(plan(name, bands, fill_missing=True).zero_filled) == missing
        return
    assert "--fill-missing-bands" not in raised.value.hint
    with pytest.raises(ConfigError, match="has none of them"):
        model(name, bands, fill_missing=True)


@every_data
@pytest.mark.parametrize("name", FIXED)
def test_bands_are_matched_or_the_missing_ones_are_named(name: str, data: str) -> None:
    require_match_or_error(name, FIXED[name], data)


@pytest.mark.parametrize("name", FIXED)
def test_all_bands_of_sentinel2_and_filled_rgb_give_logits(name: str) -> None:
    require_logits(model(name, SENTINEL2), len(SENTINEL2))
    require_logits(model(name, RGB, fill_missing=True), len(RGB))


@every_data
@pytest.mark.parametrize("name", ANY)
def test_an_encoder_of_any_bands_takes_them_all(name: str, data: str) -> None:
    require_logits(model(name, DATA[data]), len(DATA[data]))


@every_data
def test_ramen_takes_optical_bands_or_a_radars(data: str) -> None:
    if data != "optical and radar":
        require_logits(model("ramen", DATA[data], encoder_options={"input_resolution": 6.0}), len(DATA[data]))
        return
    with pytest.raises(ConfigError, match=r"optical bands with wavelengths, or the polarizations .*; got B1, .*, VV, VH") as raised:
        model("ramen", DATA[data])
    assert raised.value.hint == "leave the other bands out"


@every_data
def test_momo_takes_one_band(data: str) -> None:
    if len(DATA[data]) == 1:
        require_logits(model("momo", DATA[data]), 1)
        return
    with pytest.raises(ConfigError, match=f"takes one band, got {len(DATA[data])}: {', '.join(names_of(DATA[data]))}") as raised:
        model("momo", DATA[data])
    assert "dofa" in raised.value.hint


@pytest.mark.parametrize("name", ["dofa", "torchgeo:dofa_small_patch16_224", "ramen"])
def test_a_layer_that_is_neither_optical_nor_radar_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="slope"):
        model(name, (*RGB, Band(name="slope", sensor="terrain")))


OPTIONS = [
    ("croma", "radar", "modality=sar"),
    ("s12_mae", "radar", "sensor=s1"),
    ("terramind", "radar", "modality=s1"),
    ("terramind", "rgb", "modality=rgb"),
    ("terramind", "camera", "modality=rgb"),
]


def require_fitting_option(name: str, data: str, option: str) -> None:
    with pytest.raises(ConfigError) as raised:
        model(name, DATA[data])
    assert raised.value.hint.startswith(f"--encoder-option {option};")
    key, _, value = option.partition("=")
    require_logits(model(name, DATA[data], encoder_options={key: False if value == "false" else value}), len(DATA[data]))


@pytest.mark.parametrize(("name", "data", "option"), OPTIONS)
def test_the_option_that_fits_the_bands_is_named_and_does(name: str, data: str, option: str) -> None:
    require_fitting_option(name, data, option)


@pytest.mark.parametrize(("name", "option"), [("croma", {"modality": "joint"}), ("terramind", {"modality": "both"})])
def test_optical_and_radar_go_into_one_model_together(name: str, option: dict[str, str]) -> None:
    bands = DATA["optical and radar"]
    network = model(name, bands, encoder_options=option)
    assert network.band_plan.is_identity
    require_logits(network, 14)
    assert len(model(name, bands).band_plan.unused) == 2


def test_the_references_slot_of_b10_is_asked_for_where_its_bug_is_wanted() -> None:
    network = model("terramind", SENTINEL2, encoder_options={"reference_bugs": True})
    assert names_of(network.band_plan.bands)[9] == "B10"
    assert network.band_plan.unused == ("B9",)


def test_no_encoder_is_left_out() -> None:
    families = {"smp", "terratorch", "timm", "torchgeo"}
    assert {*FIXED, *(name for name in ANY if ":" not in name), "ramen", "momo"} == {*ENCODERS.names()} - families
