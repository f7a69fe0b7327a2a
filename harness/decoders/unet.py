"""The decoder of Cryo-Bench's U-Net: doubled by transposed convolutions, joined with the encoder's maps, double convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.core.specs import DecoderSpec
from harness.support.blocks import DoubleConv, require_pyramid, resized


class _Up(nn.Module):
    """A coarse map doubled and joined with the finer one."""

    def __init__(self, coarse: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(coarse, coarse, 2, 2)
        self.conv = DoubleConv(skip + coarse, outputs)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        joined: Tensor = self.conv(torch.cat([skip, self.up(coarse)], dim=1))
        return joined


class UNetDecoder(nn.Module):
    """Logits from maps that halve from one to the next; at the finest map's resolution, then resized to the input."""

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        ups, coarse = [], channels[-1]
        for level in range(len(channels) - 2, -1, -1):
            outputs = channels[max(level - 1, 0)]
            ups.append(_Up(coarse, channels[level], outputs))
            coarse = outputs
        self.ups = nn.ModuleList(ups)
        self.classify = nn.Conv2d(coarse, num_classes, 1)

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        value = features[-1]
        for up, skip in zip(self.ups, reversed(features[:-1]), strict=True):
            value = up(value, skip)
        return resized(self.classify(value), size)


def build(channels: Sequence[int], reductions: Sequence[int], num_classes: int, *, pyramid: bool) -> UNetDecoder:
    """Raises ConfigError for an encoder whose maps do not halve."""
    require_pyramid("unet", pyramid, reductions)
    return UNetDecoder(channels, num_classes)


DECODER = DecoderSpec(name="unet", build=build, description="U-Net's expanding path; needs an encoder whose maps halve")
