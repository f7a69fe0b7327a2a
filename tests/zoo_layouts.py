"""Checkpoints in each encoder's published layout: one number per tensor, the names and shapes recorded of the reference or a library's.

The files hold one number per tensor (a view of the right shape), so that those of 300 million parameters are small too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from harness.core.registry import ENCODERS
from harness.core.specs import Band, EncoderSpec
from harness.support.sensors import RGB
from harness.support.terratorch_parts import terratorch_module
from tests.zoo_reference import reference_tensors


def view(shape: tuple[int, ...], value: float = 0.5) -> Tensor:
    return torch.tensor(value).expand(shape)


def tensors_of(model: str, prefix: str = "") -> dict[str, Tensor]:
    """The reference's tensors, each full of its own number."""
    return {prefix + name: view(shape, float(index + 1)) for index, (name, (shape, *_)) in enumerate(reference_tensors(model).items())}


def numbered(network: torch.nn.Module) -> dict[str, Tensor]:
    """The tensors of a library's network, each full of its own number."""
    return {name: view(tuple(tensor.shape), float(index + 1)) for index, (name, tensor) in enumerate(network.state_dict().items())}


@dataclass
class Official:
    """A checkpoint as its authors save it: `content` is saved, `inner` is the part of it that holds the encoder under `prefix`.

    `victim`: a tensor of the encoder to spoil; `dropped` and `adapted`: how many tensors are left out, and changed, at the model's own size.
    """

    content: dict[str, Any]
    inner: dict[str, Tensor]
    prefix: str
    victim: str
    dropped: int
    adapted: int = 0


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


def prithvi() -> Official:
    """Version 1 is flat and of three dates."""
    flat = tensors_of("Prithvi") | {"pos_embed": view((1, 589, 768)), "norm.weight": view((768,)), "norm.bias": view((768,))}
    flat |= {"mask_token": view((1, 1, 512)), "decoder_pos_embed": view((1, 589, 512)), "decoder_blocks.0.attn.qkv.weight": view((1536, 512))}
    return Official(flat, flat, "", "blocks.11.attn.proj.bias", 5, adapted=1)


def prithvi_v2() -> Official:
    """As terratorch's network for four dates saves itself."""
    library = terratorch_module("prithvi_mae", "models.backbones")
    shape = {"embed_dim": 1024, "depth": 24, "num_heads": 16, "decoder_depth": 1, "decoder_embed_dim": 512, "decoder_num_heads": 16, "mlp_ratio": 4.0}
    with torch.device("meta"):
        network = library.PrithviMAE(img_size=224, patch_size=(1, 16, 16), num_frames=4, in_chans=6, coords_encoding=["time", "location"], **shape)
    flat = numbered(network)
    decoder = sum(name.startswith("decoder.") for name in flat)
    return Official(flat, flat, "encoder.", "blocks.23.mlp.fc1.weight", decoder + 2, adapted=1)


def spectralgpt() -> Official:
    model = tensors_of("SpectralGPT") | {"norm.weight": view((768,)), "norm.bias": view((768,)), "mask_token": view((1, 1, 512))}
    model |= {"decoder_pos_embed_spatial": view((1, 256, 512)), "decoder_blocks.0.attn.q.weight": view((512, 512)), "head.weight": view((62, 768))}
    return Official({"model": model, "epoch": 199}, model, "", "blocks.5.mlp.fc1.weight", 6, adapted=24)


def terramind() -> Official:
    flat = tensors_of("TerraMind")
    others = {"encoder_embeddings.untok_sen1grd@224.proj.weight": (768, 512), "encoder_embeddings.tok_dem@224.token_emb.weight": (5120, 768)}
    decoder = {
        "decoder.0.norm1.weight": (768,),
        "decoder_embeddings.tok_lulc@224.mod_emb": (1, 1, 768),
        "decoder_norm.weight": (768,),
        "mask_token": (1, 1, 768),
    }
    flat |= {name: view(shape) for name, shape in (others | decoder).items()}
    return Official(flat, flat, "", "encoder.7.mlp.fc3.weight", 6)


def ramen() -> Official:
    """Lightning's file; both projectors are in it."""
    state = tensors_of("RAMEN@SICD", "model.encoder.") | {"model.decoders.s2.0.weight": view((768, 768)), "model.mask_token": view((1, 1, 768))}
    radar = sum("radar_projector" in name for name in state)
    return Official({"state_dict": state, "epoch": 99, "global_step": 7}, state, "model.encoder.", "resampler.experts.2.bias", radar + 2)


def momo() -> Official:
    with torch.device("meta"):
        network = timm.create_model("vit_base_patch16_224", in_chans=1, num_classes=0)
    model = numbered(network) | {"decoder_embed.weight": view((512, 768)), "mask_token": view((1, 1, 512)), "decoder_pos_embed": view((1, 197, 512))}
    return Official({"model": model, "args": argparse.Namespace(epochs=400)}, model, "", "norm.weight", 3)


MAKERS = (
    croma, dofa, gfm_swin, remoteclip, satlasnet, scalemae, s12_moco, s12_dino, s12_mae, s12_data2vec,
    prithvi, prithvi_v2, spectralgpt, terramind, ramen, momo,
)  # fmt: skip
LAYOUTS: dict[str, Callable[[], Official]] = {function.__name__: function for function in MAKERS}


def bands_for(spec: EncoderSpec) -> tuple[Band, ...]:
    """The encoder's own bands; of those that take any, red, green, blue, and one band for MOMO."""
    return spec.bands or (RGB[:1] if spec.name == "momo" else RGB)


def load(name: str, content: dict[str, Any], folder: Path, *, input_size: int | None = None, device: str = "meta", **options: Any) -> tuple[Any, Any]:
    """Save `content`, load it into a fresh encoder; (module, report)."""
    spec = ENCODERS.load(name)
    torch.save(content, folder / "official.pth")
    with torch.device(device):
        module = spec.build(bands_for(spec), input_size or spec.input_size, **options)
    return module, spec.load_weights(module, folder / "official.pth")


class Bomb:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)
