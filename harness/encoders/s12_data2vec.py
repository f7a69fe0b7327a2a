"""SSL4EO-S12 data2vec: BEiT-S/16 on the 13 Sentinel-2 bands (Wang et al. 2023, SSL4EO-S12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.specs import Band, EncoderSpec, WeightsFile
from harness.support.positions import with_bias_table
from harness.support.sensors import SENTINEL2, require_bands
from harness.support.ssl4eo import LAYERS, LICENSE, PATCH, SOURCE
from harness.support.tokens import map_from_tokens, require_multiple
from harness.support.weights import Weights, read_weights

TABLE = "rel_pos_bias.relative_position_bias_table"


class BeitFeatures(nn.Module):
    """Feature maps after chosen blocks of a BEiT whose blocks share one bias by relative position."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.channels = (network.embed_dim,) * len(LAYERS)
        self.reductions = (PATCH,) * len(LAYERS)
        self.patch_embed = network.patch_embed
        self.cls_token = network.cls_token
        self.rel_pos_bias = network.rel_pos_bias
        self.blocks = network.blocks

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, 384, H / 16, W / 16) of an image (B, 13, H, W)."""
        tokens = self.patch_embed(image)
        tokens = torch.cat([self.cls_token.expand(image.shape[0], -1, -1), tokens], dim=1)
        bias = self.rel_pos_bias()
        grid = (image.shape[-2] // PATCH, image.shape[-1] // PATCH)
        maps = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, shared_rel_pos_bias=bias)
            if index in LAYERS:
                maps.append(map_from_tokens(tokens, grid, prefix=1))
        return maps


def build(bands: Sequence[Band], input_size: int) -> BeitFeatures:
    """The encoder with fresh weights; raises ConfigError for other bands or sizes."""
    from timm.models.beit import Beit

    require_bands("s12_data2vec", bands, SENTINEL2)
    require_multiple("s12_data2vec", input_size, PATCH)
    network = Beit(
        img_size=input_size,
        patch_size=PATCH,
        in_chans=len(bands),
        num_classes=0,
        global_pool="",
        embed_dim=384,
        depth=12,
        num_heads=6,
        init_values=0.1,
        use_abs_pos_emb=False,
        use_shared_rel_pos_bias=True,
    )
    return BeitFeatures(network)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint: `model`; the bias table is interpolated where the input size differs from 224."""
    weights = read_weights(source).inside("model")
    weights = weights.without(r"rel_pos_bias\.relative_position_index", "computed from the input size").without("mask_token", "token of the pretraining")
    weights = weights.without(r"(fc_)?norm\..*", "final norm: no returned feature passes it").without(r"(lm_)?head\..*", "head of the pretraining")
    return with_bias_table(weights, TABLE, module, extra=3).loaded_into(module)


ENCODER = EncoderSpec(
    name="s12_data2vec",
    build=build,
    load_weights=load_weights,
    divisor=16,
    input_size=224,
    pyramid=False,
    bands=SENTINEL2,
    description=(
        "SSL4EO-S12 data2vec, BEiT-S/16 on Sentinel-2; maps after blocks 4, 6, 8, 12, not normalized. Against Cryo-Bench: without the mask "
        "token of the pretraining (384) and the unused final norm (768)"
    ),
    license=LICENSE,
    source=SOURCE,
    official=(WeightsFile(url="https://drive.google.com/uc?id=1VbIGBwzZYndv4v1vx9FiD6IP-YwsHEns&export=download&confirm=yes", name="vits16_data2vec.pth"),),
)
