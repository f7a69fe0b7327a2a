"""The encoder of Cryo-Bench's U-Net: 64-128-256-512-512 channels in double convolutions, halved by max pooling. Any bands, any size."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec
from harness.support.blocks import DoubleConv

CHANNELS = (64, 128, 256, 512, 512)


class UNetEncoder(nn.Module):
    """Five maps from full resolution down to a sixteenth."""

    channels = CHANNELS
    reductions = (1, 2, 4, 8, 16)

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(DoubleConv(inputs, outputs) for inputs, outputs in zip((bands, *CHANNELS), CHANNELS, strict=False))
        self.pool = nn.MaxPool2d(2)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, channels[i], H / reductions[i], W / reductions[i]) of an image (B, bands, H, W), fine to coarse."""
        maps = [self.stages[0](image)]
        for stage in list(self.stages)[1:]:
            maps.append(stage(self.pool(maps[-1])))
        return maps


def build(bands: Sequence[Band], input_size: int) -> UNetEncoder:
    """The encoder with fresh weights; it takes any size that 16 divides, whatever `input_size`. Raises ConfigError where there is no band."""
    if not bands:
        raise ConfigError("encoder unet needs at least one band", "choose a data set with bands")
    return UNetEncoder(len(bands))


ENCODER = EncoderSpec(
    name="unet",
    build=build,
    divisor=16,
    description="double convolutions of 64-128-256-512-512 channels; parameters as in Cryo-Bench's U-Net",
    license="Apache-2.0",
    source="Ronneberger et al. 2015, U-Net",
)
