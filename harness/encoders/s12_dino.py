"""SSL4EO-S12 DINO: ViT-S/16 on the 13 Sentinel-2 bands (Wang et al. 2023, SSL4EO-S12)."""

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


def build(bands: Sequence[Band], input_size: int, *, reference_bugs: bool = False) -> VitFeatures:
    """The encoder with fresh weights; `reference_bugs` builds it without the biases of q, k and v, as Cryo-Bench does."""
    require_bands("s12_dino", bands, SENTINEL2)
    return build_vit_small("s12_dino", len(bands), input_size, qkv_bias=not reference_bugs)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint: the `backbone` of its `teacher`."""
    weights = without_heads(read_weights(source).inside("teacher").inside("backbone"), module)
    if "blocks.0.attn.qkv.bias" not in module.state_dict():
        weights = weights.without(r"blocks\.\d+\.attn\.qkv\.bias", "reference_bugs: Cryo-Bench builds the attention without these biases")
    return weights.loaded_into(module)


ENCODER = EncoderSpec(
    name="s12_dino",
    build=build,
    load_weights=load_weights,
    divisor=16,
    input_size=224,
    pyramid=False,
    bands=SENTINEL2,
    options={"reference_bugs": False},
    description=(
        "SSL4EO-S12 DINO, ViT-S/16 on Sentinel-2; maps after blocks 4, 6, 8, 12, not normalized. Against Cryo-Bench: with the 13824 biases "
        "of q, k, v that it drops (option reference_bugs leaves them out), without the unused final norm (768)"
    ),
    license=LICENSE,
    source=SOURCE,
    official=(WeightsFile(url="https://drive.google.com/uc?id=1CseO5vvMReGlAulm5o4ZgbjUgj8VlAH7&export=download&confirm=yes", name="vits16_dino.pth"),),
)
