"""SSL4EO-S12 MoCo v3: ViT-S/16 on the 13 Sentinel-2 bands (Wang et al. 2023, SSL4EO-S12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from harness.core.specs import Band, EncoderSpec, WeightsFile
from harness.support.sensors import SENTINEL2, require_bands
from harness.support.ssl4eo import LICENSE, SOURCE, build_vit_small, without_heads
from harness.support.tokens import VitFeatures
from harness.support.weights import Weights, read_weights


def build(bands: Sequence[Band], input_size: int) -> VitFeatures:
    """The encoder with fresh weights and fixed sine-cosine positions; raises ConfigError for other bands or sizes."""
    require_bands("s12_moco", bands, SENTINEL2)
    return build_vit_small("s12_moco", len(bands), input_size, fixed_positions=True)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint: `state_dict`, its online network `module.base_encoder`."""
    weights = read_weights(source).inside("state_dict").inside("module.base_encoder")
    return without_heads(weights, module).loaded_into(module)


ENCODER = EncoderSpec(
    name="s12_moco",
    build=build,
    load_weights=load_weights,
    divisor=16,
    input_size=224,
    pyramid=False,
    bands=SENTINEL2,
    description="SSL4EO-S12 MoCo v3, ViT-S/16 on Sentinel-2; maps after blocks 4, 6, 8, 12, not normalized; parameters as in Cryo-Bench",
    license=LICENSE,
    source=SOURCE,
    official=(WeightsFile(url="https://drive.google.com/uc?id=1LREGuI6w7Gq6Xm0jFQdxxtp8QkmLvJWk&export=download&confirm=yes", name="vits16_moco.pth"),),
)
