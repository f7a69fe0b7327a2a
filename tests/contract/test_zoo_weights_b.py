"""What is particular to the files of Prithvi, SpectralGPT, TerraMind, RAMEN and MOMO."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed

from harness.core.errors import CheckpointError
from harness.core.registry import ENCODERS
from harness.support.positions import sincos_2d
from harness.support.sensors import SENTINEL1, SENTINEL2, SENTINEL2_L2A
from tests.zoo_layouts import load, momo, numbered, prithvi, prithvi_v2, ramen, spectralgpt, tensors_of, terramind, view

pytestmark = pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")


def test_prithvis_positions_of_three_dates_become_those_of_the_first(tmp_path: Path) -> None:
    official = prithvi()
    first = sincos_2d(768, 14)
    later = torch.arange(392.0)[None, :, None].expand(1, 392, 768)
    official.content["pos_embed"] = torch.cat([first, later], dim=1)
    module, report = load("prithvi", official.content, tmp_path, device="cpu")
    assert torch.equal(module.pos_embed, first)
    assert report["adapted"] == {"pos_embed": "the first of 3 dates"}
    for key, tensor in module.state_dict().items():
        assert key == "pos_embed" or torch.equal(tensor, official.inner[key]), key


def test_prithvis_positions_of_a_number_that_is_no_date_are_an_error(tmp_path: Path) -> None:
    official = prithvi()
    official.content["pos_embed"] = view((1, 590, 768))
    with pytest.raises(CheckpointError, match=r"of another shape 1: pos_embed \(1, 590, 768\) instead of \(1, 197, 768\)"):
        load("prithvi", official.content, tmp_path)


def test_what_prithvi_leaves_out_is_told_by_reason(tmp_path: Path) -> None:
    _, report = load("prithvi_v2", prithvi_v2().content, tmp_path)
    assert report["dropped"]["the encoder is told neither time nor place"] == ["location_embed_enc.scale", "temporal_embed_enc.scale"]
    assert all(name.startswith("decoder.") for name in report["dropped"]["not under 'encoder.'"])
    _, report = load("prithvi", prithvi().content, tmp_path)
    assert report["dropped"]["final norm: no returned feature passes it"] == ["norm.bias", "norm.weight"]


def test_spectralgpts_q_k_and_v_are_joined_in_this_order(tmp_path: Path) -> None:
    official = spectralgpt()
    module, _ = load("spectralgpt", official.content, tmp_path, device="cpu")
    for index in range(12):
        for leaf in ("weight", "bias"):
            parts = [official.inner[f"blocks.{index}.attn.{letter}.{leaf}"] for letter in "qkv"]
            assert torch.equal(module.state_dict()[f"blocks.{index}.attn.qkv.{leaf}"], torch.cat(parts))
    for key, tensor in module.state_dict().items():
        assert ".qkv." in key or torch.equal(tensor, official.inner[key]), key


@pytest.mark.parametrize("fault", ["missing", "of another shape"])
def test_one_of_spectralgpts_q_k_and_v_that_does_not_fit_is_an_error(fault: str, tmp_path: Path) -> None:
    official = spectralgpt()
    name = "blocks.5.attn.k.weight"
    if fault == "missing":
        del official.inner[name]
    else:
        official.inner[name] = view((768, 700))
    with pytest.raises(CheckpointError, match=r"does not fit the encoder; .*blocks\.5\.attn\.[qk]"):
        load("spectralgpt", official.content, tmp_path)


def test_spectralgpts_positions_are_interpolated_as_timm_does_it(tmp_path: Path) -> None:
    official = spectralgpt()
    positions = torch.rand(1, 256, 768, generator=torch.Generator().manual_seed(0))
    official.inner["pos_embed_spatial"] = positions
    module, _ = load("spectralgpt", official.content, tmp_path, device="cpu", input_size=64)
    assert torch.equal(module.pos_embed_spatial, resample_abs_pos_embed(positions, [8, 8], num_prefix_tokens=0))
    assert torch.equal(module.pos_embed_temporal, official.inner["pos_embed_temporal"])


def test_terraminds_file_of_all_modalities_serves_each(tmp_path: Path) -> None:
    content = terramind().content | tensors_of("TerraMind@mm") | {"encoder_embeddings.untok_sen2l1c@224.proj.weight": view((768, 13 * 256))}
    spec = ENCODERS.load("terramind")
    torch.save(content, tmp_path / "w.pt")
    for modality, bands, embeddings in (("s2l2a", SENTINEL2_L2A, 1), ("s1", SENTINEL1, 1), ("both", (*SENTINEL2_L2A, *SENTINEL1), 2)):
        with torch.device("meta"):
            module = spec.build(bands, 224, modality=modality)
        report = spec.load_weights(module, tmp_path / "w.pt")
        assert report["used"] == len(module.state_dict())
        left = report["dropped"]["embedding of a modality that is not asked for"]
        assert {name.split(".")[1] for name in left} >= {"tok_dem@224"}
        assert len({name.split(".")[1] for name in left if "untok" in name}) == 3 - embeddings


def test_a_modality_that_terraminds_file_lacks_is_an_error_that_names_its_tensors(tmp_path: Path) -> None:
    torch.save(terramind().content, tmp_path / "w.pt")
    spec = ENCODERS.load("terramind")
    with torch.device("meta"):
        module = spec.build(SENTINEL2, 224, modality="s2l1c")
    with pytest.raises(CheckpointError, match=r"missing 3: encoder_embeddings\.untok_sen2l1c@224\.mod_emb"):
        spec.load_weights(module, tmp_path / "w.pt")


def test_terraminds_norms_may_come_without_biases(tmp_path: Path) -> None:
    flat = {name: tensor for name, tensor in tensors_of("TerraMind").items() if not name.endswith(("norm.bias", "norm1.bias", "norm2.bias"))}
    module, report = load("terramind", flat, tmp_path)
    assert [(reason, len(names)) for reason, names in report["kept"].items()] == [("zeros: the norms have no bias", 25)]
    assert report["used"] + 25 == len(module.state_dict())


def test_ramens_file_serves_a_radar_with_the_polarizations_that_it_has(tmp_path: Path) -> None:
    spec = ENCODERS.load("ramen")
    torch.save(ramen().content, tmp_path / "w.ckpt")
    with torch.device("meta"):
        module = spec.build(SENTINEL1, 128)
    report = spec.load_weights(module, tmp_path / "w.ckpt")
    assert report["used"] == len(module.state_dict())
    assert len(report["dropped"]["polarization or orbit that the encoder doesn't have"]) == 6
    optical = [name for name in report["dropped"]["projector of bands that the encoder doesn't have"] if name.startswith("spectral_projector.")]
    assert len(optical) == 6


def test_an_unknown_tensor_of_ramens_projectors_is_an_error(tmp_path: Path) -> None:
    official = ramen()
    official.inner["model.encoder.spectral_projector.mlp.9.weight"] = view((2,))
    with pytest.raises(CheckpointError, match=r"extra 1: spectral_projector\.mlp\.9\.weight"):
        load("ramen", official.content, tmp_path)


@pytest.mark.parametrize(("size", "name"), [("small", "vit_small_patch16_224"), ("large", "vit_large_patch16_224")])
def test_momos_other_sizes_take_timms_names(size: str, name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        network = timm.create_model(name, in_chans=1, num_classes=0)
    module, report = load("momo", {"encoder": numbered(network)}, tmp_path, size=size)
    assert report["used"] == len(module.state_dict())
    assert (report["dropped"], report["adapted"]) == ({}, {})


def test_momos_kernels_of_three_equal_bands_are_added(tmp_path: Path) -> None:
    official = momo()
    kernels = torch.rand(768, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    official.inner["patch_embed.proj.weight"] = kernels.expand(768, 3, 16, 16)
    module, report = load("momo", official.content, tmp_path, device="cpu")
    assert torch.allclose(module.patch_embed.proj.weight, 3 * kernels)
    assert list(report["adapted"]) == ["patch_embed.proj.weight"]
