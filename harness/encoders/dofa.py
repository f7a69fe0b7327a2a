"""DOFA: ViT-B/16 whose patch kernels are generated from the wavelengths of the bands (Xiong et al. 2024, arXiv:2403.15356)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec
from harness.support.positions import fix_positions, with_positions
from harness.support.tokens import VitFeatures, require_multiple
from harness.support.weights import Weights, read_weights

LAYERS = (3, 5, 7, 11)
PATCH = 16
#: What DOFA was trained to take for Sentinel-1's backscatter, in place of the 5.5 cm of the radar.
SAR_WAVELENGTH_UM = 3.75


class DofaFeatures(VitFeatures):
    """VitFeatures whose patch embedding is conditioned on the wavelengths of the bands, fixed when it is built."""

    wavelengths: Tensor

    def __init__(self, network: Any, wavelengths: Sequence[float]) -> None:
        super().__init__(network, layers=LAYERS, patch=PATCH, norm_last=True)
        self.register_buffer("wavelengths", torch.tensor(wavelengths, dtype=torch.float32), persistent=False)

    def embedded(self, image: Tensor) -> Tensor:
        """Tokens (B, patches, 768) of an image (B, bands, H, W)."""
        tokens: Tensor = self.patch_embed(image, self.wavelengths)[0]
        return tokens

    @torch.no_grad()
    def folded(self) -> VitFeatures:
        """The same network, for inference on its bands: the generated kernels are a plain convolution, 25.5 million parameters fewer on RGB.

        Runtimes want convolutions with constant kernels, and have no need to generate them again for each input. It shares the other
        parameters with this module.
        """
        parts = {name: getattr(self, name) for name in ("cls_token", "pos_embed", "blocks", "norm")}
        network = SimpleNamespace(embed_dim=self.channels[0], patch_embed=self._convolution(), **parts)
        return VitFeatures(network, layers=LAYERS, patch=PATCH, norm_last=True).train(self.training)

    def _convolution(self) -> PatchConvolution:
        from torchgeo.models.dofa import position_embedding

        generator: Any = self.patch_embed
        waves = generator.fclayer(position_embedding(generator.dynamic_embed_dim, self.wavelengths * 1000))
        kernels, bias = generator.weight_generator(waves)
        convolution = PatchConvolution(len(waves), self.channels[0], PATCH, stride=PATCH, padding=1).to(kernels)
        convolution.weight.copy_(kernels.reshape(-1, PATCH, PATCH, self.channels[0]).permute(3, 0, 1, 2) * generator.scaler)
        convolution.bias.copy_(bias.reshape(-1) * generator.scaler)
        return convolution


class PatchConvolution(nn.Conv2d):
    """A convolution whose map is given as tokens (B, patches, C)."""

    bias: nn.Parameter

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).flatten(2).transpose(1, 2)


def wavelengths_of(bands: Sequence[Band]) -> list[float]:
    """What DOFA is told of each band, in micrometers. Raises ConfigError for a band that is neither optical nor SAR."""
    unknown = [band.name for band in bands if band.wavelength_um is None and band.sensor != "sar"]
    if unknown or not bands:
        said = f"no wavelength is known of {', '.join(unknown)}" if unknown else "there are no bands"
        raise ConfigError(f"encoder dofa needs the wavelength of every band; {said}", "give the bands' wavelengths, or leave these bands out")
    return [SAR_WAVELENGTH_UM if band.wavelength_um is None else band.wavelength_um for band in bands]


def build(bands: Sequence[Band], input_size: int) -> DofaFeatures:
    """The encoder with fresh weights and fixed sine-cosine positions, for any bands with wavelengths or of a radar."""
    from torchgeo.models import dofa_base_patch16_224

    wavelengths = wavelengths_of(bands)
    require_multiple("dofa", input_size, PATCH)
    network = dofa_base_patch16_224(global_pool=False, num_classes=0, img_size=input_size)
    fix_positions(network, input_size // PATCH)
    return DofaFeatures(network, wavelengths)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint, a flat file; its norm of averaged tokens is no norm of tokens, so `norm` keeps its initial values."""
    weights = read_weights(source).inside("model")
    weights = weights.without(r"fc_norm\..*", "norm of the averaged tokens: feature maps are not averaged").without(r"head\..*", "classifier")
    weights = weights.without(r"decoder_.*|mask_token|projector\..*", "decoder of the pretraining")
    weights = with_positions(weights, "pos_embed", module)
    return weights.loaded_into(module, kept={r"norm\.(weight|bias)": "the published file has no norm of tokens"})


ENCODER = EncoderSpec(
    name="dofa",
    build=build,
    load_weights=load_weights,
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
    extra="zoo",
)
