"""terratorch's backbones keep what every encoder keeps.

One test of many parts: importing terratorch takes up to 11 s, and so one process alone bears it however the tests are spread.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from harness.core.errors import ConfigError
from harness.core.registry import ENCODERS
from harness.core.specs import Band
from harness.support.sensors import RGB, SENTINEL2
from tests.contract.test_bands_zoo import DATA, HLS, L2A, model, require_fitting_option, require_logits, require_match_or_error
from tests.contract.test_encoders import built, generic_bands, require_announced_maps, require_any_number_of_bands, require_refusals, require_said_facts
from tests.contract.test_library_weights import loaded
from tests.zoo_layouts import numbered, view

NAMES = ("prithvi_eo_v2_tiny_tl", "terramind_v1_tiny", "clay_v1_base", "satlas_swin_t_sentinel2_si_ms", "UNet")
UNUSABLE = {
    "prithvi_eo_v3_300": "did you mean 'terratorch:prithvi_eo_v2_300'",
    "timm_resnet18": "is timm's resnet18",
    "terramind_v1_base_tim": "tokens of other modalities",
    "dinov3_vits16": "downloaded when it is built",
    "convnextv2_atto": "one vector",
    "IdentityBackbone": "no network",
}


def promises_of_every_encoder(folder: Path) -> None:
    for member in NAMES:
        spec = ENCODERS.load(f"terratorch:{member}")
        require_announced_maps(spec)
        require_said_facts(spec, f"terratorch:{member}")
        require_refusals(spec)


def prithvi_takes_any_bands_where_its_own_are_not_asked_for(folder: Path) -> None:
    spec = ENCODERS.load("terratorch:prithvi_eo_v2_tiny_tl")
    assert spec.bands_for(trained_bands=False) is None
    require_any_number_of_bands(spec, 2, trained_bands=False)


def clay_is_told_the_wavelengths_of_its_bands(folder: Path) -> None:
    spec = ENCODERS.load("terratorch:clay_v1_base")
    module = spec.build((Band(name="VV", sensor="sar"), Band(name="red", wavelength_um=0.665)), 32)
    assert module.network.waves.tolist() == pytest.approx([3.5, 0.665])
    with pytest.raises(ConfigError, match="none is known of slope"):
        built(spec, (Band(name="slope", sensor="terrain"),))


def terramind_takes_the_bands_of_its_modality_at_224_px(folder: Path) -> None:
    spec = ENCODERS.load("terratorch:terramind_v1_tiny")
    assert [band.name for band in spec.bands_for(modality="S1GRD")] == ["VV", "VH"]
    assert len(built(spec, spec.bands_for(modality="RGB"), modality="RGB").channels) == 4
    with pytest.raises(ConfigError, match="no modality 'DEM'"):
        built(spec, spec.bands, modality="DEM")
    with torch.device("meta"), pytest.raises(ConfigError, match="takes 224 px only, got 448 px"):
        spec.build(spec.bands, 448)


def what_cannot_be_an_encoder_says_why(folder: Path) -> None:
    for name, message in UNUSABLE.items():
        with pytest.raises(ConfigError, match=message):
            ENCODERS.load(f"terratorch:{name}")


def every_registered_backbone_is_of_a_known_kind(folder: Path) -> None:
    """A later terratorch brings new names; each must have maps or a reason."""
    from terratorch.registry import TERRATORCH_BACKBONE_REGISTRY

    refused = {name: refusal(f"terratorch:{name}") for name in TERRATORCH_BACKBONE_REGISTRY}
    assert {name: said for name, said in refused.items() if said and "can't be an encoder here: " not in said} == {}
    assert sum(not said for said in refused.values()) > 70


def refusal(name: str) -> str:
    try:
        ENCODERS.load(name)
    except ConfigError as error:
        return error.message
    return ""


def own_tensors(name: str) -> dict[str, Tensor]:
    spec = ENCODERS.load(name)
    return numbered(built(spec, spec.bands or generic_bands(3)).network)


def clays_file_is_read_in_its_own_layout(folder: Path) -> None:
    encoder = {name.replace("clay_encoder.", "model.encoder."): tensor for name, tensor in own_tensors("terratorch:clay_v1_base").items()}
    others = {"model.decoder.x": view((2,)), "model.teacher.y": view((2,))}
    report = loaded("terratorch:clay_v1_base", {"state_dict": encoder | others}, folder)
    assert sum(map(len, report["dropped"].values())) == 2


def terraminds_file_is_read_in_its_own_layout(folder: Path) -> None:
    others = {"encoder_embeddings.tok_dem@224.mod_emb": view((1, 1, 192)), "decoder.0.norm1.weight": view((192,)), "mask_token": view((1, 1, 192))}
    report = loaded("terratorch:terramind_v1_tiny", own_tensors("terratorch:terramind_v1_tiny") | others, folder)
    assert sorted(map(len, report["dropped"].values())) == [1, 2]


def a_network_of_timm_is_read_as_timms(folder: Path) -> None:
    report = loaded("terratorch:ssl4eol_resnet18_landsat_tm_toa_moco", numbered(timm.create_model("resnet18")), folder)
    assert report["dropped"] == {"classifier head": ["fc.bias", "fc.weight"]}


def prithvis_positions_of_several_dates_are_told_from_those_of_a_large_image(folder: Path) -> None:
    """Four dates of 16 x 16 patches are 32 x 32 positions too; taking them for one image would go unnoticed."""
    for name, patches in (("prithvi_eo_v2_tiny_tl", 14 * 14), ("prithvi_eo_v2_600", 16 * 16)):
        tensors = own_tensors(f"terratorch:{name}")
        tensors["pos_embed"] = view((1, 1 + 4 * patches, tensors["pos_embed"].shape[-1]))
        others = {"encoder.temporal_embed_enc.scale": view((1,)), "decoder.mask_token": view((1,))}
        report = loaded(f"terratorch:{name}", {f"encoder.{key}": tensor for key, tensor in tensors.items()} | others, folder)
        assert report["adapted"] == {"pos_embed": "the first of 4 dates"}
        assert sum(map(len, report["dropped"].values())) == 2


def bands_are_matched_or_the_missing_ones_are_named(folder: Path) -> None:
    for name, trained in (("terratorch:prithvi_eo_v2_tiny_tl", HLS), ("terratorch:terramind_v1_tiny", L2A)):
        for data in DATA:
            require_match_or_error(name, trained, data)
        require_logits(model(name, SENTINEL2), len(SENTINEL2))
        require_logits(model(name, RGB, fill_missing=True), len(RGB))


def the_option_that_fits_the_bands_is_named_and_does(folder: Path) -> None:
    require_fitting_option("terratorch:terramind_v1_tiny", "radar", "modality=S1GRD")
    require_fitting_option("terratorch:prithvi_eo_v2_tiny_tl", "radar", "trained_bands=false")


PARTS: tuple[Callable[[Path], None], ...] = (
    promises_of_every_encoder,
    prithvi_takes_any_bands_where_its_own_are_not_asked_for,
    clay_is_told_the_wavelengths_of_its_bands,
    terramind_takes_the_bands_of_its_modality_at_224_px,
    what_cannot_be_an_encoder_says_why,
    every_registered_backbone_is_of_a_known_kind,
    clays_file_is_read_in_its_own_layout,
    terraminds_file_is_read_in_its_own_layout,
    a_network_of_timm_is_read_as_timms,
    prithvis_positions_of_several_dates_are_told_from_those_of_a_large_image,
    bands_are_matched_or_the_missing_ones_are_named,
    the_option_that_fits_the_bands_is_named_and_does,
)


@pytest.mark.filterwarnings("ignore")
def test_terratorchs_backbones_keep_the_promises_of_every_encoder(tmp_path: Path) -> None:
    for part in PARTS:
        part(tmp_path)
