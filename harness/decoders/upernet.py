"""UPerNet (Xiao et al. 2018) as in Cryo-Bench: pyramid pooling on the coarsest map, a feature pyramid above it, all levels fused.

Convolutions in front of a batch norm have no bias: it would be redundant.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.core.specs import DecoderSpec
from harness.support.blocks import ConvNormRelu, Pyramid, resized

POOLS = (1, 2, 3, 6)


class UPerNet(nn.Module):
    """Logits at the input's size from any number of maps."""

    def __init__(self, channels: Sequence[int], num_classes: int, *, pyramid: bool, width: int, dropout: float) -> None:
        super().__init__()
        self.neck = Pyramid(channels, pyramid=pyramid)
        self.pools = nn.ModuleList(nn.Sequential(nn.AdaptiveAvgPool2d(pool), ConvNormRelu(channels[-1], width, 1)) for pool in POOLS)
        self.bottleneck = ConvNormRelu(channels[-1] + len(POOLS) * width, width, 3)
        self.laterals = nn.ModuleList(ConvNormRelu(inputs, width, 1) for inputs in channels[:-1])
        self.smooths = nn.ModuleList(ConvNormRelu(width, width, 3) for _ in channels[:-1])
        self.fuse = ConvNormRelu(len(channels) * width, width, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(width, num_classes, 1)

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        *finer, coarsest = self.neck(features)
        levels = [lateral(feature) for lateral, feature in zip(self.laterals, finer, strict=True)] + [self._pooled(coarsest)]
        for index in range(len(levels) - 1, 0, -1):
            levels[index - 1] = levels[index - 1] + resized(levels[index], levels[index - 1].shape[-2:])
        smoothed = [smooth(level) for smooth, level in zip(self.smooths, levels, strict=False)] + [levels[-1]]
        fused = self.fuse(torch.cat([resized(level, levels[0].shape[-2:]) for level in smoothed], dim=1))
        return resized(self.classify(self.dropout(fused)), size)

    def _pooled(self, feature: Tensor) -> Tensor:
        pooled = [resized(pool(feature), feature.shape[-2:]) for pool in self.pools]
        value: Tensor = self.bottleneck(torch.cat([feature, *pooled], dim=1))
        return value


def build(channels: Sequence[int], reductions: Sequence[int], num_classes: int, *, pyramid: bool, width: int = 512, dropout: float = 0.1) -> UPerNet:
    """`width`: channels of every level; `dropout`: of whole channels before the classifier."""
    return UPerNet(channels, num_classes, pyramid=pyramid, width=width, dropout=dropout)


DECODER = DecoderSpec(name="upernet", build=build, options={"width": 512, "dropout": 0.1}, description="pyramid pooling and a fused feature pyramid")
