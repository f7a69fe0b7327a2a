"""Official checkpoints: files in each model's published layout are loaded, and every tensor is accounted for.

Networks are built without memory where only names and shapes matter; `tests.zoo_layouts` makes the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from harness.core.errors import CheckpointError, ConfigError
from harness.core.registry import ENCODERS
from harness.core.specs import Band
from harness.support.sensors import RGB, SENTINEL1, SENTINEL2_L2A
from tests.zoo_layouts import LAYOUTS, Bomb, bands_for, croma, gfm_swin, load, s12_dino, satlasnet, tensors_of, view
from tests.zoo_reference import SATLAS

pytestmark = pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")


JOINED = sorted(f"blocks.{index}.attn.qkv.{leaf}" for index in range(12) for leaf in ("bias", "weight"))
every_layout = pytest.mark.parametrize("name", LAYOUTS)


@every_layout
def test_every_tensor_of_the_published_layout_is_used_or_dropped_for_a_reason(name: str, tmp_path: Path) -> None:
    official = LAYOUTS[name]()
    module, report = load(name, official.content, tmp_path)
    assert report["used"] + sum(map(len, report["kept"].values())) == len(module.state_dict())
    assert sum(map(len, report["dropped"].values())) == official.dropped
    assert len(report["adapted"]) == official.adapted


@every_layout
@pytest.mark.parametrize("fault", ["missing", "extra", "of another shape"])
def test_one_tensor_that_does_not_fit_is_an_error_that_names_it(name: str, fault: str, tmp_path: Path) -> None:
    official = LAYOUTS[name]()
    victim = official.prefix + official.victim
    if fault == "missing":
        del official.inner[victim]
    if fault == "extra":
        official.inner[f"{official.prefix}blocks.3.surprise"] = view((2, 2))
    if fault == "of another shape":
        official.inner[victim] = view((3, *official.inner[victim].shape[1:], 2))
    named = "blocks.3.surprise" if fault == "extra" else official.victim.replace("layers.2.downsample", "layers.3.downsample")
    with pytest.raises(CheckpointError, match=r"official\.pth does not fit") as caught:
        load(name, official.content, tmp_path)
    assert f"{fault} 1: " in caught.value.message
    assert named in caught.value.message


@every_layout
def test_a_checkpoint_that_runs_code_is_refused_and_not_run(name: str, tmp_path: Path) -> None:
    content = {**LAYOUTS[name]().content, "payload": Bomb(tmp_path / "made-by-the-file")}
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        load(name, content, tmp_path)
    assert not (tmp_path / "made-by-the-file").exists()


@pytest.mark.parametrize("name", ["s12_moco", "s12_dino", "s12_mae", "s12_data2vec", "gfm_swin", "remoteclip", "satlasnet", "terramind", "ramen", "momo"])
def test_values_arrive_where_they_belong(name: str, tmp_path: Path) -> None:
    official = LAYOUTS[name]()
    module, report = load(name, official.content, tmp_path, device="cpu")
    kept = {key for keys in report["kept"].values() for key in keys}
    for key, tensor in module.state_dict().items():
        if key not in kept:
            theirs = f"layers.{int(key[7]) - 1}.downsample" + key[19:] if "downsample" in key else key
            assert torch.equal(tensor, official.inner[official.prefix + theirs]), key


def test_a_flat_safetensors_file_is_loaded_too(tmp_path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors_of("S12-MAE").items()}, tmp_path / "w.safetensors")
    spec = ENCODERS.load("s12_mae")
    module = spec.build(spec.bands, 224)
    assert spec.load_weights(module, tmp_path / "w.safetensors")["used"] == 148


def test_dinos_biases_are_loaded_unless_the_reference_is_wanted(tmp_path: Path) -> None:
    module, report = load("s12_dino", s12_dino().content, tmp_path, device="cpu")
    assert module.blocks[5].attn.qkv.bias.unique().tolist() == [105.0]
    assert not any("qkv.bias" in key for keys in report["dropped"].values() for key in keys if "student" not in key)
    _, report = load("s12_dino", s12_dino().content, tmp_path, reference_bugs=True)
    (reason,) = (reason for reason in report["dropped"] if "reference_bugs" in reason)
    assert len(report["dropped"][reason]) == 12


def test_all_three_networks_of_croma_are_found_in_one_file(tmp_path: Path) -> None:
    content = croma().content
    spec = ENCODERS.load("croma")
    with torch.device("meta"):
        joint = spec.build((*SENTINEL2_L2A, *SENTINEL1), 120, modality="joint")
        radar = spec.build(SENTINEL1, 120, modality="sar")
    content["joint_encoder"] = {
        name.removeprefix("joint_encoder."): view(tuple(tensor.shape)) for name, tensor in joint.state_dict().items() if name.startswith("joint_encoder.")
    }
    torch.save(content, tmp_path / "w.pt")
    assert spec.load_weights(joint, tmp_path / "w.pt")["used"] == len(joint.state_dict())
    assert spec.load_weights(radar, tmp_path / "w.pt")["used"] == len(radar.state_dict())


def test_satlas_prefixes_of_both_variants_are_taken_off(tmp_path: Path) -> None:
    deep = {f"backbone.{name}": tensor for name, tensor in satlasnet().content.items() if name.startswith("backbone.")}
    spec = ENCODERS.load("satlasnet")
    torch.save(deep, tmp_path / "w.pth")
    with torch.device("meta"):
        module = spec.build(SATLAS * 3, 128, variant="mi", images=3)
    assert spec.load_weights(module, tmp_path / "w.pth")["used"] > 300


@pytest.mark.parametrize(
    ("name", "size", "adapted"),
    [
        ("s12_moco", 96, ["pos_embed"]),
        ("s12_data2vec", 160, ["rel_pos_bias.relative_position_bias_table"]),
        ("remoteclip", 256, ["positional_embedding"]),
        ("dofa", 64, ["pos_embed"]),
        ("scalemae", 96, []),
        ("croma", 64, []),
        ("satlasnet", 96, []),
        ("gfm_swin", 384, []),
        ("prithvi", 96, ["pos_embed"]),
        ("prithvi_v2", 112, ["pos_embed"]),
        ("spectralgpt", 64, [*JOINED, "pos_embed_spatial"]),
        ("terramind", 96, ["encoder_embeddings.untok_sen2l2a@224.pos_emb"]),
        ("ramen", 64, []),
        ("momo", 96, ["pos_embed"]),
        ("gfm_swin", 96, [f"layers.3.blocks.{index}.attn.relative_position_bias_table" for index in range(2)]),
    ],
)
def test_other_input_sizes_adapt_what_depends_on_them(name: str, size: int, adapted: list[str], tmp_path: Path) -> None:
    module, report = load(name, LAYOUTS[name]().content, tmp_path, input_size=size)
    assert sorted(report["adapted"]) == adapted
    with torch.no_grad():
        maps = module(torch.empty(2, len(bands_for(ENCODERS.load(name))), size, size, device="meta"))
    assert [tuple(found.shape) for found in maps] == [(2, width, size // by, size // by) for width, by in zip(module.channels, module.reductions, strict=True)]


def test_gfm_takes_red_green_and_blue_of_a_file_of_twelve_bands(tmp_path: Path) -> None:
    official = gfm_swin()
    twelve = torch.arange(12.0)[None, :, None, None].expand(128, 12, 4, 4).contiguous()
    official.inner["encoder.patch_embed.proj.weight"] = twelve
    module, report = load("gfm_swin", official.content, tmp_path, device="cpu")
    assert module.patch_embed.proj.weight[0, :, 0, 0].tolist() == [3, 2, 1]
    assert list(report["adapted"]) == ["patch_embed.proj.weight"]


@pytest.mark.parametrize(
    ("name", "bands", "size", "options", "message"),
    [
        ("croma", RGB, 120, {}, "takes the bands B1, B2"),
        ("croma", SENTINEL1, 120, {"modality": "radar"}, "no modality 'radar'"),
        ("croma", SENTINEL1, 100, {"modality": "sar"}, "multiple of 8 px, got 100 px"),
        ("dofa", [Band(name="slope")], 224, {}, "no wavelength is known of slope"),
        ("dofa", [], 224, {}, "there are no bands"),
        ("s12_mae", RGB, 224, {"sensor": "s3"}, "no sensor 's3'"),
        ("satlasnet", SATLAS * 2, 128, {"images": 2}, "no variant 'si' with 2 images"),
        ("scalemae", RGB, 224, {"resolution": 0.0}, "positive resolution"),
        ("remoteclip", RGB, 0, {}, "got 0 px"),
        ("prithvi", RGB, 224, {}, "takes the bands B2, B3, B4, B8A, B11, B12"),
        ("prithvi_v2", SENTINEL1, 224, {}, "takes the bands B2, B3, B4, B8A, B11, B12"),
        ("spectralgpt", SENTINEL2_L2A, 100, {}, "multiple of 8 px, got 100 px"),
        ("terramind", SENTINEL1, 224, {"modality": "s3"}, "no modality 's3'"),
        ("terramind", SENTINEL1, 224, {"size": "giant"}, "of size 'giant'"),
        ("ramen", RGB, 512, {"resolution": 10.0}, "whole number of pixels"),
        ("ramen", SENTINEL1, 512, {"orbit": "up"}, "orbits asc and des"),
        ("ramen", (*RGB, *SENTINEL1), 512, {}, "takes optical bands with wavelengths, or the polarizations"),
        ("momo", RGB, 224, {}, "takes one band, got 3"),
        ("momo", RGB[:1], 224, {"size": "tiny"}, "no size 'tiny'"),
    ],
)
def test_what_an_encoder_cannot_take_is_said(name: str, bands: Any, size: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ENCODERS.load(name).build(bands, size, **options)


def test_several_satlas_images_give_their_maximum() -> None:
    spec = ENCODERS.load("satlasnet")
    torch.manual_seed(0)
    several = spec.build(SATLAS * 2, 64, variant="mi", images=2).eval()
    one = spec.build(SATLAS, 64).eval()
    one.load_state_dict(several.state_dict())
    image = torch.rand(2, 18, 64, 64)
    with torch.no_grad():
        wanted = [torch.maximum(first, second) for first, second in zip(one(image[:, :9]), one(image[:, 9:]), strict=True)]
        assert all(torch.allclose(found, other, atol=1e-5) for found, other in zip(several(image), wanted, strict=True))


def test_dofa_folded_for_its_bands_computes_the_same_with_less() -> None:
    torch.manual_seed(0)
    module = ENCODERS.load("dofa").build((*RGB, *SENTINEL1), 32).eval()
    with torch.no_grad():
        module.patch_embed.weight_generator.bias_token.normal_()
    folded = module.folded()
    image = torch.rand(2, 5, 32, 32)
    with torch.no_grad():
        assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(module(image), folded(image), strict=True))
    generator = sum(parameter.numel() for parameter in module.patch_embed.parameters())
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in (module, folded)]
    assert sizes[0] - sizes[1] == generator - (5 * 16 * 16 + 1) * 768
