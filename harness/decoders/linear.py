"""One 1x1 convolution over all maps at the finest one's resolution: a linear probe of the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.core.specs import DecoderSpec
from harness.support.blocks import resized


class Linear(nn.Module):
    """Logits at the input's size from any number of maps."""

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.classify = nn.Conv2d(sum(channels), num_classes, 1)

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        finest = features[0].shape[-2:]
        return resized(self.classify(torch.cat([resized(feature, finest) for feature in features], dim=1)), size)


def build(channels: Sequence[int], reductions: Sequence[int], num_classes: int, *, pyramid: bool) -> Linear:
    return Linear(channels, num_classes)


DECODER = DecoderSpec(name="linear", build=build, description="one 1x1 convolution: a linear probe")
