"""MOMO, the Mars Orbital Model: ViT-S, B or L/16 on one band of an orbital camera, pretrained as a masked autoencoder; timm's ViT layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec, names_of
from harness.support.positions import fix_positions, with_positions
from harness.support.tokens import VitFeatures, require_multiple
from harness.support.weights import Weights, read_weights

PATCH = 16
#: timm's network and the blocks whose maps are given, by size.
SIZES = {
    "small": ("vit_small_patch16_224", (3, 5, 7, 11)),
    "base": ("vit_base_patch16_224", (3, 5, 7, 11)),
    "large": ("vit_large_patch16_224", (7, 11, 15, 23)),
}


def build(bands: Sequence[Band], input_size: int, *, size: str = "base") -> VitFeatures:
    """The encoder with fresh weights and fixed sine-cosine positions, for one band; `size` is "small", "base" or "large"."""
    import timm

    if size not in SIZES:
        raise ConfigError(f"encoder momo has no size {size!r}; known: {', '.join(SIZES)}", "harness list encoders")
    if len(bands) != 1:
        raise ConfigError(
            f"encoder momo takes one band, got {len(bands)}: {', '.join(names_of(bands))}",
            "choose an encoder for these bands (dofa, vit, unet, timm:... take any)",
        )
    require_multiple("momo", input_size, PATCH)
    name, layers = SIZES[size]
    network = timm.create_model(name, pretrained=False, in_chans=1, img_size=input_size, num_classes=0)
    fix_positions(network, input_size // PATCH)
    return VitFeatures(network, layers=layers, patch=PATCH, norm_last=True)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load a checkpoint in timm's ViT layout, of the encoder alone or of the masked autoencoder."""
    weights = read_weights(source)
    for wrapper in ("model", "state_dict", "encoder"):
        weights = weights.inside(wrapper)
    weights = weights.without(r"decoder_.*|mask_token", "decoder of the pretraining").without(r"(fc_norm|head)\..*", "classifier")
    first, wanted = "patch_embed.proj.weight", module.get_parameter("patch_embed.proj.weight").shape
    if first in weights.tensors and weights.tensors[first].ndim == 4 and weights.tensors[first].shape[1] == 3:
        weights = weights.with_shape(first, wanted, "kernels of three equal bands added", lambda old: old.sum(1, keepdim=True))
    return with_positions(weights, "pos_embed", module).loaded_into(module)


ENCODER = EncoderSpec(
    name="momo",
    build=build,
    load_weights=load_weights,
    divisor=PATCH,
    input_size=224,
    pyramid=False,
    options={"size": "base"},
    description="MOMO, ViT-S, B or L/16 on one band of Mars from orbit (option size); maps after blocks 4, 6, 8, 12 (large: 8, 12, 16, 24), last normalized",
    license="network Apache-2.0 (timm); weights: see source",
    source="timm ViT layout; no published file was opened",
)
