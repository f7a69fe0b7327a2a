"""Prithvi 100M (v1): ViT-B/16 on six bands of Harmonized Landsat and Sentinel-2, one date (Jakubik et al. 2023, arXiv:2310.18660)."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.specs import Band, EncoderSpec, WeightsFile
from harness.support.prithvi import BANDS, LICENSE, PATCH, PrithviFeatures, build_prithvi, load_prithvi

SHAPE = {"embed_dim": 768, "depth": 12, "num_heads": 12}


def build(bands: Sequence[Band], input_size: int) -> PrithviFeatures:
    """The encoder with fresh weights and fixed sine-cosine positions; one map, after the last block."""
    return build_prithvi("prithvi", bands, input_size, shape=SHAPE, layers=(11,), norm_last=False)


ENCODER = EncoderSpec(
    name="prithvi",
    build=build,
    load_weights=load_prithvi,
    divisor=PATCH,
    input_size=224,
    pyramid=False,
    bands=BANDS,
    description="Prithvi 100M, ViT-B/16 on six bands of one date; one map, after the last block, not normalized; parameters as in Cryo-Bench",
    license=LICENSE,
    source="https://huggingface.co/ibm-nasa-geospatial/Prithvi-EO-1.0-100M",
    official=(WeightsFile(url="https://huggingface.co/ibm-nasa-geospatial/Prithvi-100M/resolve/main/Prithvi_100M.pt", name="Prithvi_100M.pt"),),
    extra="zoo",
)
