"""Scale-MAE: ViT-L/16 on RGB whose positions are measured in meters (Reed et al. 2023, arXiv:2212.14532)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec, WeightsFile
from harness.support.sensors import RGB, require_bands
from harness.support.tokens import VitFeatures, require_multiple
from harness.support.weights import Weights, read_weights

LAYERS = (7, 11, 15, 23)
PATCH = 16


class ScaleMaeFeatures(VitFeatures):
    """VitFeatures whose positional embedding is computed from the ground sampling distance: a constant, no parameter."""

    pos_embed: Tensor

    def __init__(self, network: Any, positions: Tensor) -> None:
        network.pos_embed = None
        super().__init__(network, layers=LAYERS, patch=PATCH, norm_last=False)
        del self.pos_embed
        self.register_buffer("pos_embed", positions, persistent=False)


def build(bands: Sequence[Band], input_size: int, *, resolution: float = 1.0) -> ScaleMaeFeatures:
    """The encoder with fresh weights; `resolution` is the ground sampling distance relative to the pretraining's."""
    from torchgeo.models.scale_mae import ScaleMAE, get_2d_sincos_pos_embed_with_resolution

    require_bands("scalemae", bands, RGB)
    require_multiple("scalemae", input_size, PATCH)
    if resolution <= 0:
        raise ConfigError(f"encoder scalemae takes a positive resolution, got {resolution}", "leave it out for 1.0")
    network = ScaleMAE(res=resolution, img_size=input_size, patch_size=PATCH, embed_dim=1024, depth=24, num_heads=16, num_classes=0, global_pool="")
    positions = get_2d_sincos_pos_embed_with_resolution(1024, input_size // PATCH, torch.tensor([resolution]), cls_token=True)
    return ScaleMaeFeatures(network, positions)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint: the encoder's part of `model`."""
    weights = read_weights(source).inside("model").without("pos_embed", "computed from the resolution")
    weights = weights.without(r"norm\..*", "final norm: no returned feature passes it").without(r"head\..*", "classifier")
    weights = weights.without(r"decoder_.*|mask_token|fpn\..*|fcn_.*", "decoder of the pretraining")
    return weights.loaded_into(module)


ENCODER = EncoderSpec(
    name="scalemae",
    build=build,
    load_weights=load_weights,
    divisor=16,
    input_size=224,
    pyramid=False,
    bands=RGB,
    options={"resolution": 1.0},
    description="Scale-MAE ViT-L/16 on RGB; maps after blocks 8, 12, 16, 24, not normalized; parameters as in Cryo-Bench",
    license="network MIT (torchgeo); weights: see source",
    source="https://github.com/bair-climate-initiative/scale-mae",
    official=(
        WeightsFile(
            url="https://github.com/bair-climate-initiative/scale-mae/releases/download/base-800/scalemae-vitlarge-800.pth", name="scalemae-vitlarge-800.pth"
        ),
    ),
    extra="zoo",
)
