"""Pieces of networks that encoders and decoders share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from harness.core.errors import ConfigError


class DoubleConv(nn.Sequential):
    """Twice: 3x3 convolution, batch norm, ReLU (Ronneberger et al. 2015, with batch norm)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(*_conv(inputs, outputs), *_conv(outputs, outputs))


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class ConvNormRelu(nn.Sequential):
    """Convolution without bias (batch norm has one), batch norm, ReLU; the size stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


#: Scale of each level of a pyramid made from maps of one resolution (Xiao et al. 2018 on vision transformers, as in BEiT).
SCALES = (4.0, 2.0, 1.0, 0.5)


class Pyramid(nn.Module):
    """Maps of one resolution brought to falling resolutions; the identity for an encoder that has them already."""

    def __init__(self, channels: Sequence[int], *, pyramid: bool) -> None:
        super().__init__()
        count = len(channels)
        scales = [1.0] * count if pyramid else [SCALES[index * 4 // count] for index in range(count)]
        self.levels = nn.ModuleList(_rescaled(width, scale) for width, scale in zip(channels, scales, strict=True))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [level(feature) for level, feature in zip(self.levels, features, strict=True)]


def _rescaled(width: int, scale: float) -> nn.Module:
    if scale == 4.0:
        return nn.Sequential(nn.ConvTranspose2d(width, width, 2, 2), nn.BatchNorm2d(width), nn.GELU(), nn.ConvTranspose2d(width, width, 2, 2))
    if scale == 2.0:
        return nn.Sequential(nn.ConvTranspose2d(width, width, 2, 2))
    return nn.Identity() if scale == 1.0 else nn.MaxPool2d(2)


def resized(feature: Tensor, size: Sequence[int]) -> Tensor:
    """A map at another height and width, bilinear, corners not aligned."""
    if tuple(feature.shape[-2:]) == tuple(size):
        return feature
    return F.interpolate(feature, size=tuple(size), mode="bilinear", align_corners=False)


def require_pyramid(decoder: str, pyramid: bool, reductions: Sequence[int]) -> None:
    """Raises ConfigError unless each map has half the resolution of the one before."""
    halves = all(after == 2 * before for before, after in pairwise(reductions))
    if not pyramid or not halves:
        found = ", ".join(f"1/{reduction}" for reduction in reductions)
        raise ConfigError(f"decoder {decoder} needs maps that halve from one to the next, the encoder gives {found} of the input", "use +upernet or +fpn")
