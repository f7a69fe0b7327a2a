"""DOFA: ViT-B/16 whose patch kernels are generated from the wavelengths of the bands (Xiong et al. 2024, arXiv:2403.15356)."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.specs import Band, EncoderSpec, WeightsFile
from harness.support.dofa import SAR_WAVELENGTH_UM, DofaFeatures, load_dofa, wavelengths_of
from harness.support.positions import fix_positions
from harness.support.tokens import require_multiple

LAYERS = (3, 5, 7, 11)
PATCH = 16


def build(bands: Sequence[Band], input_size: int) -> DofaFeatures:
    """The encoder with fresh weights and fixed sine-cosine positions, for any bands with wavelengths or of a radar."""
    from torchgeo.models import dofa_base_patch16_224

    wavelengths = wavelengths_of("dofa", bands)
    require_multiple("dofa", input_size, PATCH)
    network = dofa_base_patch16_224(global_pool=False, num_classes=0, img_size=input_size)
    fix_positions(network, input_size // PATCH)
    return DofaFeatures(network, wavelengths, layers=LAYERS, patch=PATCH)


ENCODER = EncoderSpec(
    name="dofa",
    build=build,
    load_weights=load_dofa,
    divisor=16,
    input_size=224,
    pyramid=False,
    bands=None,
    description=(
        f"DOFA ViT-B/16 on any bands: kernels from wavelengths, {SAR_WAVELENGTH_UM} um for radar backscatter; maps after blocks 4, 6, 8, 12, "
        "the last one normalized; parameters as in Cryo-Bench"
    ),
    license="network MIT (torchgeo); weights: see source",
    source="https://huggingface.co/XShadow/DOFA",
    official=(WeightsFile(url="https://huggingface.co/XShadow/DOFA/resolve/main/DOFA_ViT_base_e100.pth", name="DOFA_ViT_base_e100.pth"),),
    extra="zoo",
)
