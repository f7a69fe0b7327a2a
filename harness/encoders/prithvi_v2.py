"""Prithvi 2.0 300M: ViT-L/16 on six bands of Harmonized Landsat and Sentinel-2, one date (Szwarcman et al. 2024, arXiv:2412.02732)."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.specs import Band, EncoderSpec
from harness.support.prithvi import BANDS, LICENSE, PATCH, PrithviFeatures, build_prithvi, load_prithvi

SHAPE = {"embed_dim": 1024, "depth": 24, "num_heads": 16}


def build(bands: Sequence[Band], input_size: int) -> PrithviFeatures:
    """The encoder with fresh weights and fixed sine-cosine positions; maps after blocks 6, 12, 18 and 24, the last one normalized."""
    return build_prithvi("prithvi_v2", bands, input_size, shape=SHAPE, layers=(5, 11, 17, 23), norm_last=True)


ENCODER = EncoderSpec(
    name="prithvi_v2",
    build=build,
    load_weights=load_prithvi,
    divisor=PATCH,
    input_size=224,
    pyramid=False,
    bands=BANDS,
    description="Prithvi 2.0 300M, ViT-L/16 on six bands of one date; maps after blocks 6, 12, 18, 24, the last one normalized, as terratorch gives them",
    license=LICENSE,
    source="https://huggingface.co/ibm-nasa-geospatial/Prithvi-EO-2.0-300M",
    extra="zoo",
)
