"""SSL4EO-S12 MAE: ViT-S/16 on the 13 Sentinel-2 bands or on Sentinel-1 (Wang et al. 2023, SSL4EO-S12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec, WeightsFile
from harness.support.sensors import SENTINEL1, SENTINEL2, require_bands
from harness.support.ssl4eo import LICENSE, SOURCE, build_vit_small, without_heads
from harness.support.tokens import VitFeatures
from harness.support.weights import Weights, read_weights

BANDS = {"s2": SENTINEL2, "s1": SENTINEL1}


def build(bands: Sequence[Band], input_size: int, *, sensor: str = "s2") -> VitFeatures:
    """The encoder with fresh weights and fixed sine-cosine positions; `sensor` is "s2" (13 bands) or "s1" (VV, VH)."""
    if sensor not in BANDS:
        raise ConfigError(f"encoder s12_mae has no sensor {sensor!r}; known: {', '.join(BANDS)}", "harness list encoders")
    require_bands(f"s12_mae with sensor {sensor}", bands, BANDS[sensor])
    return build_vit_small("s12_mae", len(bands), input_size, fixed_positions=True)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint: the encoder's part of `model`."""
    return without_heads(read_weights(source).inside("model"), module).loaded_into(module)


ENCODER = EncoderSpec(
    name="s12_mae",
    build=build,
    load_weights=load_weights,
    divisor=16,
    input_size=224,
    pyramid=False,
    bands=SENTINEL2,
    bands_for=lambda sensor="s2": BANDS.get(sensor, SENTINEL2),
    options={"sensor": "s2"},
    choices={"sensor": tuple(BANDS)},
    description=(
        "SSL4EO-S12 MAE, ViT-S/16 on Sentinel-2, or on Sentinel-1 with sensor=s1; maps after blocks 4, 6, 8, 12, not normalized; parameters as in Cryo-Bench"
    ),
    license=LICENSE,
    source=SOURCE,
    official=(
        WeightsFile(
            url="https://drive.google.com/uc?id=1QTBKl1asxgQCNd6bO2azXZNPfoQ3Sazv&export=download&confirm=yes", name="vits16_mae.pth", options={"sensor": "s2"}
        ),
        WeightsFile(
            url="https://huggingface.co/wangyi111/SSL4EO-S12/resolve/main/B2_vits16_mae_ep99.pth", name="B2_vits16_mae_ep99.pth", options={"sensor": "s1"}
        ),
    ),
)
