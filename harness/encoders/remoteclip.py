"""RemoteCLIP: the image tower of CLIP ViT-B/32, trained on remote-sensing pictures (Liu et al. 2024, arXiv:2306.11029)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.core.specs import Band, EncoderSpec, WeightsFile
from harness.support.positions import with_positions
from harness.support.sensors import RGB, require_bands
from harness.support.tokens import map_from_tokens, require_multiple
from harness.support.weights import Weights, read_weights

LAYERS = (3, 5, 7, 11)
PATCH = 32
HEADS = 12


class ClipFeatures(nn.Module):
    """Feature maps after chosen blocks of open_clip's image tower; parameter names are the library's."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.channels = (768,) * len(LAYERS)
        self.reductions = (PATCH,) * len(LAYERS)
        self.conv1 = tower.conv1
        self.class_embedding = tower.class_embedding
        self.positional_embedding = tower.positional_embedding
        self.ln_pre = tower.ln_pre
        self.transformer = tower.transformer

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, 768, H / 32, W / 32) of an image (B, 3, H, W)."""
        patches = self.conv1(image)
        classes = self.class_embedding.expand(image.shape[0], 1, -1)
        tokens = self.ln_pre(torch.cat([classes, patches.flatten(2).transpose(1, 2)], dim=1) + self.positional_embedding)
        maps = []
        for index, block in enumerate(self.transformer.resblocks):
            tokens = tokens + attended(block.attn, block.ln_1(tokens))
            tokens = tokens + block.mlp(block.ln_2(tokens))
            if index in LAYERS:
                maps.append(map_from_tokens(tokens, (patches.shape[-2], patches.shape[-1]), prefix=1))
        return maps


def attended(attention: nn.MultiheadAttention, tokens: Tensor) -> Tensor:
    """Self-attention with the parameters of PyTorch's module, spelled out: its fast path has no ONNX form and most counters skip it."""
    batch, length, width = tokens.shape
    qkv = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = qkv.reshape(batch, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
    mixed = F.scaled_dot_product_attention(query, key, value)
    merged: Tensor = attention.out_proj(mixed.transpose(1, 2).reshape(batch, length, width))
    return merged


def build(bands: Sequence[Band], input_size: int) -> ClipFeatures:
    """The encoder with fresh weights; raises ConfigError for other bands or sizes."""
    from open_clip.transformer import VisionTransformer

    require_bands("remoteclip", bands, RGB)
    require_multiple("remoteclip", input_size, PATCH)
    return ClipFeatures(VisionTransformer(image_size=input_size, patch_size=PATCH, width=768, layers=12, heads=HEADS, mlp_ratio=4.0))


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint of open_clip's layout: what is under `visual`."""
    weights = read_weights(source).inside("state_dict").inside("visual")
    weights = weights.without(r"proj|ln_post\..*", "projection of the class token to the text's space")
    return with_positions(weights, "positional_embedding", module).loaded_into(module)


ENCODER = EncoderSpec(
    name="remoteclip",
    build=build,
    load_weights=load_weights,
    divisor=32,
    input_size=224,
    pyramid=False,
    bands=RGB,
    description="RemoteCLIP ViT-B/32 on RGB; maps after blocks 4, 6, 8, 12, not normalized; parameters as in Cryo-Bench",
    license="network MIT (open_clip); weights: see source",
    source="https://huggingface.co/chendelong/RemoteCLIP",
    official=(WeightsFile(url="https://huggingface.co/chendelong/RemoteCLIP/resolve/main/RemoteCLIP-ViT-B-32.pt", name="RemoteCLIP-ViT-B-32.pt"),),
    extra="zoo",
)
