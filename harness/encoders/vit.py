"""ViT-B/16 (Dosovitskiy et al. 2021) from timm on any bands: maps after blocks 4, 6, 8 and 12, the last normalized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec
from harness.support.positions import with_positions
from harness.support.tokens import VitFeatures, require_multiple
from harness.support.weights import Weights, read_weights

LAYERS, PATCH = (3, 5, 7, 11), 16


def build(bands: Sequence[Band], input_size: int, *, reference_bugs: bool = False) -> VitFeatures:
    """The encoder with fresh weights and a positional embedding that is trained.

    `reference_bugs`: positions are zeros and stay so, as in Cryo-Bench's from-scratch ViT, which has no positional information.
    """
    import timm

    if not bands:
        raise ConfigError("encoder vit needs at least one band", "choose a data set with bands")
    require_multiple("vit", input_size, PATCH)
    network: Any = timm.create_model("vit_base_patch16_224", pretrained=False, in_chans=len(bands), img_size=input_size, num_classes=0)
    if reference_bugs:
        nn.init.zeros_(network.pos_embed)
        network.pos_embed.requires_grad = False
    return VitFeatures(network, layers=LAYERS, patch=PATCH, norm_last=True)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load a ViT-B/16 in timm's layout; the first layer is adapted to the module's bands as timm does it."""
    from timm.models import adapt_input_conv

    weights = read_weights(source).without(r"head\..*", "classifier")
    wanted = module.get_parameter("patch_embed.proj.weight").shape
    how = "first layer's bands repeated and rescaled"
    weights = weights.with_shape("patch_embed.proj.weight", wanted, how, lambda old: adapt_input_conv(wanted[1], old))
    return with_positions(weights, "pos_embed", module).loaded_into(module)


ENCODER = EncoderSpec(
    name="vit",
    build=build,
    load_weights=load_weights,
    divisor=PATCH,
    input_size=224,
    pyramid=False,
    options={"reference_bugs": False},
    description="timm ViT-B/16; maps after blocks 4, 6, 8, 12, the last normalized; parameters as in Cryo-Bench",
    license="Apache-2.0",
    source="timm vit_base_patch16_224",
)
