"""Official checkpoints: files in each model's published layout are loaded, and every tensor is accounted for.

The files hold one number per tensor (a view of the right shape), so that those of 300 million parameters are small too. Networks
are built without memory where only names and shapes matter.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.core.errors import CheckpointError, ConfigError
from harness.core.registry import ENCODERS
from harness.core.specs import Band
from harness.support.sensors import RGB, SENTINEL1, SENTINEL2_L2A
from tests.zoo_reference import SATLAS, reference_tensors

pytestmark = pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")


def view(shape: tuple[int, ...], value: float = 0.5) -> Tensor:
    return torch.tensor(value).expand(shape)


def tensors_of(model: str, prefix: str = "") -> dict[str, Tensor]:
    """The reference's tensors, each full of its own number."""
    return {prefix + name: view(shape, float(index + 1)) for index, (name, (shape, *_)) in enumerate(reference_tensors(model).items())}


@dataclass
class Official:
    """A checkpoint as its authors save it: `content` is saved, `inner` is the part of it that holds the encoder under `prefix`."""

    content: dict[str, Any]
    inner: dict[str, Tensor]
    prefix: str
    victim: str
    dropped: int


def croma() -> Official:
    parts: dict[str, Any] = {"s1_encoder": {}, "s2_encoder": {}, "joint_encoder": {"layers.0.0.to_qkv.weight": view((3072, 1024))}}
    for model, part in (("CROMA", "s2_encoder"), ("CROMA@sar", "s1_encoder")):
        parts[part] = {name.removeprefix(f"{part}."): tensor for name, tensor in tensors_of(model).items()}
    parts |= {f"{part}_GAP_FFN": {"0.weight": view((1024,))} for part in ("s1", "s2", "joint")}
    return Official(parts, parts["s2_encoder"], "", "linear_input.weight", 1 + len(parts["s1_encoder"]) + 3 + 12 * 11)


def dofa() -> Official:
    flat = {name: tensor for name, tensor in tensors_of("DOFA").items() if not name.startswith("norm.")}
    flat |= {"fc_norm.weight": view((768,)), "fc_norm.bias": view((768,)), "head.weight": view((45, 768)), "mask_token": view((1, 1, 768))}
    return Official(flat, flat, "", "blocks.3.attn.qkv.weight", 4)


def gfm_swin() -> Official:
    model = tensors_of("GFM-Swin", "encoder.") | {"encoder.mask_token": view((1, 1, 128)), "decoder.0.weight": view((3072, 1024, 1, 1))}
    computed = sum("relative_position_index" in name or "attn_mask" in name for name in model)
    return Official(
        {"model": model, "optimizer": {"state": {0: {"step": view(())}}}, "epoch": 9}, model, "encoder.", "layers.2.downsample.norm.weight", computed + 5
    )


def remoteclip() -> Official:
    flat = tensors_of("RemoteCLIP", "visual.") | {"visual.proj": view((768, 512)), "visual.ln_post.weight": view((768,)), "logit_scale": view(())}
    flat |= {"transformer.resblocks.0.ln_1.weight": view((512,)), "token_embedding.weight": view((49408, 512))}
    return Official(flat, flat, "visual.", "transformer.resblocks.7.attn.in_proj_bias", 5)


def satlasnet() -> Official:
    flat = tensors_of("SatlasNet") | {"intermediates.0.fpn.inner_blocks.0.0.weight": view((128, 128, 1, 1)), "head.layers.0.weight": view((128,))}
    computed = sum("relative_" in name for name in flat)
    return Official(flat, flat, "backbone.backbone.", "features.5.3.attn.cpb_mlp.0.bias", computed + 6)


def scalemae() -> Official:
    model = tensors_of("Scale-MAE") | {"pos_embed": view((1, 197, 1024)), "norm.weight": view((1024,)), "norm.bias": view((1024,))}
    model |= {"decoder_pred.weight": view((768, 512)), "mask_token": view((1, 1, 512))}
    return Official({"model": model, "epoch": 799, "args": argparse.Namespace(lr=1e-4)}, model, "", "blocks.23.mlp.fc2.weight", 5)


def s12_moco() -> Official:
    base = "module.base_encoder."
    state = tensors_of("S12-MoCo", base) | tensors_of("S12-MoCo", "module.momentum_encoder.") | {"module.predictor.0.weight": view((4096, 256))}
    state |= {f"{base}norm.weight": view((384,)), f"{base}norm.bias": view((384,)), f"{base}head.0.weight": view((4096, 384))}
    return Official({"state_dict": state, "epoch": 100}, state, base, "blocks.11.norm2.bias", 148 + 4)


def s12_dino() -> Official:
    biases = {f"backbone.blocks.{index}.attn.qkv.bias": view((1152,), 100.0 + index) for index in range(12)}
    teacher = tensors_of("S12-DINO", "backbone.") | biases | {"head.mlp.0.weight": view((2048, 384))}
    student = tensors_of("S12-DINO", "module.backbone.")
    return Official({"student": student, "teacher": teacher, "args": argparse.Namespace()}, teacher, "backbone.", "pos_embed", 2 + 1 + len(student))


def s12_mae() -> Official:
    model = tensors_of("S12-MAE") | {"norm.weight": view((384,)), "decoder_pos_embed": view((1, 197, 512)), "mask_token": view((1, 1, 512))}
    return Official({"model": model}, model, "", "patch_embed.proj.weight", 3)


def s12_data2vec() -> Official:
    model = tensors_of("S12-Data2Vec") | {"lm_head.weight": view((384, 384))}
    return Official({"model": model}, model, "", "rel_pos_bias.relative_position_bias_table", 5)


LAYOUTS: dict[str, Callable[[], Official]] = {
    function.__name__: function for function in (croma, dofa, gfm_swin, remoteclip, satlasnet, scalemae, s12_moco, s12_dino, s12_mae, s12_data2vec)
}
every_layout = pytest.mark.parametrize("name", LAYOUTS)


def load(name: str, content: dict[str, Any], folder: Path, *, size: int | None = None, device: str = "meta", **options: Any) -> tuple[Any, Any]:
    """Save `content`, load it into a fresh encoder; (module, report)."""
    spec = ENCODERS.load(name)
    torch.save(content, folder / "official.pth")
    with torch.device(device):
        module = spec.build(spec.bands or RGB, size or spec.input_size, **options)
    return module, spec.load_weights(module, folder / "official.pth")


@every_layout
def test_every_tensor_of_the_published_layout_is_used_or_dropped_for_a_reason(name: str, tmp_path: Path) -> None:
    official = LAYOUTS[name]()
    module, report = load(name, official.content, tmp_path)
    assert report["used"] + sum(map(len, report["kept"].values())) == len(module.state_dict())
    assert sum(map(len, report["dropped"].values())) == official.dropped
    assert report["adapted"] == {}


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


class Bomb:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


@every_layout
def test_a_checkpoint_that_runs_code_is_refused_and_not_run(name: str, tmp_path: Path) -> None:
    content = {**LAYOUTS[name]().content, "payload": Bomb(tmp_path / "made-by-the-file")}
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        load(name, content, tmp_path)
    assert not (tmp_path / "made-by-the-file").exists()


@pytest.mark.parametrize("name", ["s12_moco", "s12_dino", "s12_mae", "s12_data2vec", "gfm_swin", "remoteclip", "satlasnet"])
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
        ("gfm_swin", 96, [f"layers.3.blocks.{index}.attn.relative_position_bias_table" for index in range(2)]),
    ],
)
def test_other_input_sizes_adapt_what_depends_on_them(name: str, size: int, adapted: list[str], tmp_path: Path) -> None:
    module, report = load(name, LAYOUTS[name]().content, tmp_path, size=size)
    assert sorted(report["adapted"]) == adapted
    with torch.no_grad():
        maps = module(torch.empty(2, len(ENCODERS.load(name).bands or RGB), size, size, device="meta"))
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
