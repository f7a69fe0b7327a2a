"""Networks of DOFA: transformers whose patch kernels are generated from the wavelengths of the bands (Xiong et al. 2024, arXiv:2403.15356)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.core.specs import Band
from harness.support.positions import with_positions
from harness.support.tokens import VitFeatures
from harness.support.weights import Weights, read_weights

#: What DOFA was trained to take for Sentinel-1's backscatter, in place of the 5.5 cm of the radar.
SAR_WAVELENGTH_UM = 3.75


class DofaFeatures(VitFeatures):
    """VitFeatures whose patch embedding is conditioned on the wavelengths of the bands, fixed when it is built."""

    wavelengths: Tensor

    def __init__(self, network: Any, wavelengths: Sequence[float], *, layers: Sequence[int], patch: int) -> None:
        super().__init__(network, layers=layers, patch=patch, norm_last=True)
        self.register_buffer("wavelengths", torch.tensor(wavelengths, dtype=torch.float32), persistent=False)

    def embedded(self, image: Tensor) -> Tensor:
        """Tokens (B, patches, C) of an image (B, bands, H, W)."""
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
        return VitFeatures(network, layers=self.layers, patch=self.patch, norm_last=True).train(self.training)

    def _convolution(self) -> PatchConvolution:
        from torchgeo.models.dofa import position_embedding

        generator: Any = self.patch_embed
        waves = generator.fclayer(position_embedding(generator.dynamic_embed_dim, self.wavelengths * 1000))
        kernels, bias = generator.weight_generator(waves)
        convolution = PatchConvolution(len(waves), self.channels[0], self.patch, stride=self.patch, padding=1).to(kernels)
        convolution.weight.copy_(kernels.reshape(-1, self.patch, self.patch, self.channels[0]).permute(3, 0, 1, 2) * generator.scaler)
        convolution.bias.copy_(bias.reshape(-1) * generator.scaler)
        return convolution


class PatchConvolution(nn.Conv2d):
    """A convolution whose map is given as tokens (B, patches, C)."""

    bias: nn.Parameter

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).flatten(2).transpose(1, 2)


def wavelengths_of(encoder: str, bands: Sequence[Band]) -> list[float]:
    """What the network is told of each band, in micrometers. Raises ConfigError for a band that is neither optical nor SAR."""
    unknown = [band.name for band in bands if band.wavelength_um is None and band.sensor != "sar"]
    if unknown or not bands:
        said = f"no wavelength is known of {', '.join(unknown)}" if unknown else "there are no bands"
        raise ConfigError(f"encoder {encoder} needs the wavelength of every band; {said}", "give the bands' wavelengths, or leave these bands out")
    return [SAR_WAVELENGTH_UM if band.wavelength_um is None else band.wavelength_um for band in bands]


def load_dofa(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint, a flat file; its norm of averaged tokens is no norm of tokens, so `norm` keeps its initial values."""
    weights = read_weights(source).inside("model")
    weights = weights.without(r"fc_norm\..*", "norm of the averaged tokens: feature maps are not averaged").without(r"head\..*", "classifier")
    weights = weights.without(r"decoder_.*|mask_token|projector\..*", "decoder of the pretraining")
    weights = with_positions(weights, "pos_embed", module)
    return weights.loaded_into(module, kept={r"norm\.(weight|bias)": "the published file has no norm of tokens"})
