"""Panoptic feature pyramid head (Kirillov et al. 2019): a top-down pyramid of one width, smoothed, summed at the finest level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.core.specs import DecoderSpec
from harness.support.blocks import ConvNormRelu, Pyramid, resized

#: The finest level of the published pyramid, as a reduction; finer maps of an encoder are left out, they cost most and hold least.
FINEST = 4


class FPN(nn.Module):
    """Logits at the input's size from any number of maps; the first `skipped` of them are not read."""

    def __init__(self, channels: Sequence[int], num_classes: int, *, pyramid: bool, width: int, skipped: int) -> None:
        super().__init__()
        self.skipped = skipped
        channels = channels[skipped:]
        self.neck = Pyramid(channels, pyramid=pyramid)
        self.laterals = nn.ModuleList(nn.Conv2d(inputs, width, 1) for inputs in channels)
        self.smooths = nn.ModuleList(ConvNormRelu(width, width // 2, 3) for _ in channels)
        self.classify = nn.Conv2d(width // 2, num_classes, 1)

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        levels = [lateral(feature) for lateral, feature in zip(self.laterals, self.neck(features[self.skipped :]), strict=True)]
        for index in range(len(levels) - 1, 0, -1):
            levels[index - 1] = levels[index - 1] + resized(levels[index], levels[index - 1].shape[-2:])
        finest = levels[0].shape[-2:]
        summed = torch.stack([resized(smooth(level), finest) for smooth, level in zip(self.smooths, levels, strict=True)]).sum(0)
        return resized(self.classify(summed), size)


def build(channels: Sequence[int], reductions: Sequence[int], num_classes: int, *, pyramid: bool, width: int = 256) -> FPN:
    """`width`: channels of the pyramid; its smoothed levels have half of them."""
    skipped = min(sum(reduction < FINEST for reduction in reductions), len(reductions) - 1) if pyramid else 0
    return FPN(channels, num_classes, pyramid=pyramid, width=width, skipped=skipped)


DECODER = DecoderSpec(name="fpn", build=build, options={"width": 256}, description="top-down feature pyramid from 1/4 of the input on, levels summed")
