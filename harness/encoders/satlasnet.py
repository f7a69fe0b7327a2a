"""SatlasNet: Swin-v2-B on nine Sentinel-2 bands, one image or several of one place (Bastani et al. 2023, arXiv:2211.15660)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec
from harness.support.sensors import require_bands, sentinel2
from harness.support.tokens import require_multiple
from harness.support.weights import Weights, read_weights

BANDS = sentinel2("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B11", "B12")
#: The network is a row of patch embedding, stage, merging, stage, ...: these are the stages.
STAGES = (1, 3, 5, 7)


class SatlasFeatures(nn.Module):
    """Maps after the four stages of torchvision's Swin-v2-B (strides 4, 8, 16, 32), of several images their maximum."""

    def __init__(self, features: nn.Sequential, images: int) -> None:
        super().__init__()
        self.channels = (128, 256, 512, 1024)
        self.reductions = (4, 8, 16, 32)
        self.images = images
        self.features = features

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, C, rows, columns) of images (B, images * 9, H, W), one image's bands after the other's."""
        if self.images == 1:
            return self._maps(image)
        each = self._maps(image.reshape(-1, len(BANDS), *image.shape[-2:]))
        return [found.reshape(-1, self.images, *found.shape[1:]).amax(1) for found in each]

    def _maps(self, image: Tensor) -> list[Tensor]:
        state, maps = image, []
        for index, part in enumerate(self.features):
            state = part(state)
            if index in STAGES:
                maps.append(state.permute(0, 3, 1, 2))
        return maps


def build(bands: Sequence[Band], input_size: int, *, variant: str = "si", images: int = 1) -> SatlasFeatures:
    """The encoder with fresh weights; `variant` is "si" (one image) or "mi" (`images` of one place, nine bands each)."""
    from torchvision.models import swin_v2_b

    if variant not in ("si", "mi") or images < 1 or (variant == "si" and images > 1):
        raise ConfigError(f"encoder satlasnet has no variant {variant!r} with {images} images", "variant si with images 1, or variant mi with images 1 or more")
    require_bands("satlasnet", bands, BANDS * images)
    require_multiple("satlasnet", input_size, 32)
    features = swin_v2_b().features
    features[0][0] = nn.Conv2d(len(BANDS), 128, kernel_size=4, stride=4)
    return SatlasFeatures(features, images)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint of either variant: what is under its `backbone`s."""
    computed = "computed from the window size"
    weights = read_weights(source).without(r"(?!(.*\.)?backbone\.).*", "no part of the backbone: pyramid and heads of the pretraining")
    weights = weights.renamed(r"(.*\.)?backbone\.", "")
    weights = weights.without(r"norm\..*|head\..*", "classifier: no returned feature passes it")
    weights = weights.without(r".*\.relative_(coords_table|position_index)", computed)
    return weights.loaded_into(module, kept={r".*\.relative_(coords_table|position_index)": computed})


ENCODER = EncoderSpec(
    name="satlasnet",
    build=build,
    load_weights=load_weights,
    divisor=32,
    input_size=128,
    bands=BANDS,
    bands_for=lambda variant="si", images=1: BANDS * images,
    options={"variant": "si", "images": 1},
    description=(
        "SatlasNet Swin-v2-B on nine Sentinel-2 bands; maps after its four stages, not normalized; variant mi takes the maximum over several "
        "images. Against Cryo-Bench: without the unused norm (2048) and classifier (1025000)"
    ),
    license="network BSD-3-Clause (torchvision); weights: see source",
    source="https://huggingface.co/allenai/satlas-pretrain",
)
