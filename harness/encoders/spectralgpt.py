"""SpectralGPT: a transformer on cubes of three bands by 8 x 8 pixels of Sentinel-2 (Hong et al. 2024, arXiv:2311.07113)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.specs import Band, EncoderSpec, WeightsFile
from harness.support.sensors import SENTINEL2_L2A, require_bands
from harness.support.tokens import require_multiple
from harness.support.weights import Weights, read_weights

LAYERS = (3, 5, 7, 11)
WIDTH, DEPTH, HEADS = 768, 12, 12
PATCH, SPECTRAL_PATCH = 8, 3
GROUPS = len(SENTINEL2_L2A) // SPECTRAL_PATCH
QKV = re.compile(r"blocks\.\d+\.attn\.[qkv]\.(weight|bias)")


class CubeEmbedding(nn.Module):
    """Tokens (B, groups * patches, C) of an image (B, bands, H, W): the patches of the first three bands, then of the next three, ..."""

    def __init__(self) -> None:
        super().__init__()
        cube = (SPECTRAL_PATCH, PATCH, PATCH)
        self.proj = nn.Conv3d(1, WIDTH, kernel_size=cube, stride=cube)

    def forward(self, image: Tensor) -> Tensor:
        tokens: Tensor = self.proj(image[:, None]).flatten(2).transpose(1, 2)
        return tokens


class SpectralGptFeatures(nn.Module):
    """Maps after blocks 4, 6, 8 and 12, not normalized; the channels of a token's groups of bands lie one group after the other."""

    def __init__(self, input_size: int) -> None:
        from timm.models.vision_transformer import Block

        super().__init__()
        self.channels = (GROUPS * WIDTH,) * len(LAYERS)
        self.reductions = (PATCH,) * len(LAYERS)
        self.patch_embed = CubeEmbedding()
        self.pos_embed_spatial = nn.Parameter(torch.zeros(1, (input_size // PATCH) ** 2, WIDTH))
        self.pos_embed_temporal = nn.Parameter(torch.zeros(1, GROUPS, WIDTH))
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS, qkv_bias=True, norm_layer=nn.LayerNorm) for _ in range(DEPTH))
        for positions in (self.pos_embed_spatial, self.pos_embed_temporal):
            nn.init.trunc_normal_(positions, std=0.02)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, 3072, H / 8, W / 8) of an image (B, 12, H, W)."""
        grid = (image.shape[-2] // PATCH, image.shape[-1] // PATCH)
        positions = (self.pos_embed_temporal[:, :, None] + self.pos_embed_spatial[:, None]).flatten(1, 2)
        tokens = self.patch_embed(image) + positions
        maps = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in LAYERS:
                maps.append(map_from_groups(tokens, grid))
        return maps


def map_from_groups(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Tokens (B, groups * rows * columns, C) as a map (B, groups * C, rows, columns)."""
    cells = tokens.reshape(tokens.shape[0], GROUPS, *grid, WIDTH)
    return cells.permute(0, 1, 4, 2, 3).reshape(tokens.shape[0], GROUPS * WIDTH, *grid)


def build(bands: Sequence[Band], input_size: int) -> SpectralGptFeatures:
    """The encoder with fresh weights, for 12 bands of Sentinel-2."""
    require_bands("spectralgpt", bands, SENTINEL2_L2A)
    require_multiple("spectralgpt", input_size, PATCH)
    return SpectralGptFeatures(input_size)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint, `model`: q, k and v are joined to one matrix, positions are interpolated where the size differs."""
    weights = read_weights(source).inside("model")
    weights = weights.without(r"decoder_.*|mask_token|.*_pos_embed_(class|spatial|temporal)", "decoder of the pretraining")
    weights = weights.without(r"cls_token|pos_embed_class", "class token: the encoder has none")
    weights = weights.without(r"(fc_)?norm\..*", "final norm: no returned feature passes it").without(r"head\..*", "classifier")
    side = round(module.get_parameter("pos_embed_spatial").shape[1] ** 0.5)
    return _with_positions(with_joined_qkv(weights), side).loaded_into(module)


def with_joined_qkv(weights: Weights) -> Weights:
    """With `q`, `k` and `v` of each attention joined to `qkv`, where all three are there and of one shape; `loaded_into` lists the others."""
    tensors, adapted = dict(weights.tensors), dict(weights.adapted)
    for name in [name for name in weights.tensors if QKV.fullmatch(name) and ".q." in name]:
        names = [name.replace(".q.", f".{letter}.") for letter in "qkv"]
        if len({tensors[one].shape for one in names if one in tensors}) == 1 and all(one in tensors for one in names):
            joined = name.replace(".q.", ".qkv.")
            tensors[joined] = torch.cat([tensors.pop(one) for one in names])
            adapted[joined] = "q, k and v joined"
    return replace(weights, tensors=tensors, adapted=adapted)


def _with_positions(weights: Weights, side: int) -> Weights:
    """With the positions in the plane interpolated to `side` x `side` patches."""
    from timm.layers.pos_embed import resample_abs_pos_embed

    name = "pos_embed_spatial"
    given = weights.tensors.get(name)
    if given is None or given.ndim != 3 or round(given.shape[1] ** 0.5) ** 2 != given.shape[1]:
        return weights
    wanted = (1, side * side, given.shape[2])
    return weights.with_shape(name, wanted, "interpolated to the input size", lambda old: resample_abs_pos_embed(old, [side, side], num_prefix_tokens=0))


ENCODER = EncoderSpec(
    name="spectralgpt",
    build=build,
    load_weights=load_weights,
    divisor=PATCH,
    input_size=128,
    pyramid=False,
    bands=SENTINEL2_L2A,
    description="SpectralGPT, a ViT-B on cubes of 3 bands by 8 x 8 pixels; maps after blocks 4, 6, 8, 12, not normalized; parameters as in Cryo-Bench",
    license="weights CC-BY-NC-4.0: see source",
    source="https://zenodo.org/records/8412455",
    official=(WeightsFile(url="https://zenodo.org/records/8412455/files/SpectralGPT+.pth", name="SpectralGPT+.pth"),),
)
