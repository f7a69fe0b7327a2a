"""Vision transformers as encoders: tokens of chosen blocks as feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError


def require_multiple(encoder: str, input_size: int, divisor: int) -> None:
    """Raises ConfigError unless the input side is a positive multiple of `divisor` pixels."""
    if input_size < divisor or input_size % divisor:
        nearest = max(divisor, -(-input_size // divisor) * divisor)
        raise ConfigError(f"encoder {encoder} takes inputs of a multiple of {divisor} px, got {input_size} px", f"--input-size {nearest}")


def map_from_tokens(tokens: Tensor, grid: tuple[int, int], *, prefix: int = 0) -> Tensor:
    """Tokens (B, prefix + rows * columns, C), row by row, as a map (B, C, rows, columns); prefix tokens (class token) are dropped."""
    return tokens[:, prefix:].transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *grid)


class VitFeatures(nn.Module):
    """Feature maps after chosen blocks of a transformer with one class token; nothing after the last of them is kept.

    It takes over the parts of a timm-like network: `patch_embed` (image to tokens), `cls_token`, `pos_embed`, `blocks`, and `norm`
    where `norm_last` says that the last map is normalized. Parameter names are the library's.
    """

    def __init__(self, network: Any, *, layers: Sequence[int], patch: int, norm_last: bool) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.patch = patch
        self.channels = (network.embed_dim,) * len(layers)
        self.reductions = (patch,) * len(layers)
        self.patch_embed = network.patch_embed
        self.cls_token = network.cls_token
        self.pos_embed = network.pos_embed
        self.blocks = nn.ModuleList(list(network.blocks)[: layers[-1] + 1])
        self.norm = network.norm if norm_last else nn.Identity()

    def embedded(self, image: Tensor) -> Tensor:
        """Tokens (B, patches, C) of an image (B, bands, H, W)."""
        tokens: Tensor = self.patch_embed(image)
        return tokens

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, channels, H / patch, W / patch) of an image (B, bands, H, W)."""
        tokens = torch.cat([self.cls_token.expand(image.shape[0], -1, -1), self.embedded(image)], dim=1) + self.pos_embed
        grid = (image.shape[-2] // self.patch, image.shape[-1] // self.patch)
        maps = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in self.layers:
                maps.append(map_from_tokens(self.norm(tokens) if index == self.layers[-1] else tokens, grid, prefix=1))
        return maps


def layers_after(last: int) -> str:
    """Pattern of the block numbers after `last`, for Weights.without: they feed no returned feature."""
    return "(" + "|".join(str(number) for number in range(last + 1, last + 65)) + ")"
