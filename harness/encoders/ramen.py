"""RAMEN: ViT-B on any optical bands or a radar's polarizations, at a ground resolution of choice (Houdré et al. 2025).

The network is derived from the recorded facts of Cryo-Bench's: each band's weight vector comes from its wavelength, the weighted sum
over bands is brought to the resolution of the tokens, and four 1 x 1 convolutions are mixed by the ratio of the two resolutions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec, WeightsFile, names_of
from harness.support.tokens import map_from_tokens, require_multiple
from harness.support.weights import Weights, read_weights

LAYERS = (3, 5, 7, 11)
WIDTH, DEPTH, HEADS, EXPERTS = 768, 12, 12, 4
POLARIZATIONS = ("VV", "VH", "HV", "HH")


def sincos(positions: Sequence[float], width: int) -> Tensor:
    """Sines, then cosines (n, width) of positions times 10000 ** -(k / (width / 2)) (Vaswani et al. 2017)."""
    frequencies = 10000.0 ** -(torch.arange(width // 2, dtype=torch.float64, device="cpu") / (width / 2))
    angles = torch.tensor(positions, dtype=torch.float64, device="cpu")[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def positions_2d(side: int, step: float) -> Tensor:
    """Embedding (1, 1 + side * side, C) of the class token (zeros) and of each token's column and row, `step` meters apart."""
    line = sincos([step * index for index in range(side)], WIDTH // 2)
    grid = torch.cat([line.repeat(side, 1), line.repeat_interleave(side, 0)], dim=1)
    return torch.cat([torch.zeros(1, WIDTH, device="cpu"), grid])[None]


def _mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH), nn.LayerNorm(WIDTH))


class SpectralProjector(nn.Module):
    """Weight vectors (bands, C) of optical bands, from their wavelengths in nanometers."""

    codes: Tensor

    def __init__(self, bands: Sequence[Band]) -> None:
        super().__init__()
        self.mlp = _mlp()
        codes = sincos([round(1000 * (band.wavelength_um or 0.0), 3) for band in bands], WIDTH)
        self.register_buffer("codes", codes.to(next(self.mlp.parameters()).device), persistent=False)

    def forward(self) -> Tensor:
        vectors: Tensor = self.mlp(self.codes)
        return vectors


class RadarProjector(nn.Module):
    """Weight vectors (bands, C) of a radar's polarizations, from one learned vector for each polarization and orbit."""

    def __init__(self, bands: Sequence[Band], orbit: str) -> None:
        super().__init__()
        self.names = tuple(f"{orbit}_{band.name.lower()}_param" for band in bands)
        for name in self.names:
            self.register_parameter(name, nn.Parameter(torch.randn(WIDTH) * 0.02))
        self.mlp = _mlp()

    def forward(self) -> Tensor:
        vectors: Tensor = self.mlp(torch.stack([self.get_parameter(name) for name in self.names]))
        return vectors


class Resampler(nn.Module):
    """A map (B, C, h, w) plus a mixture of four 1 x 1 convolutions of it; the shares depend on the ratio of the resolutions."""

    code: Tensor

    def __init__(self, reduction: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))
        self.experts = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(EXPERTS))
        self.mlp = nn.Sequential(nn.Linear(WIDTH, WIDTH // 4), nn.GELU(), nn.Linear(WIDTH // 4, EXPERTS))
        self.register_buffer("code", sincos([-math.log(reduction)], WIDTH).to(self.temperature.device), persistent=False)

    def forward(self, state: Tensor) -> Tensor:
        shares = (self.mlp(self.code) / self.temperature).softmax(-1)[0]
        for share, mixed in zip(shares.unbind(), [expert(state) for expert in self.experts], strict=True):
            state = state + share * mixed
        return state


class RamenFeatures(nn.Module):
    """Maps after blocks 4, 6, 8 and 12, the last one normalized."""

    pos_embed: Tensor

    def __init__(self, projector: nn.Module, *, input_size: int, resolution: float, reduction: int) -> None:
        from timm.models.vision_transformer import Block

        super().__init__()
        self.channels = (WIDTH,) * len(LAYERS)
        self.reductions = (reduction,) * len(LAYERS)
        self.cls_token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.add_module("spectral_projector" if isinstance(projector, SpectralProjector) else "radar_projector", projector)
        self.resampler = Resampler(reduction)
        self.in_norm = nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS, qkv_bias=True) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)
        positions = positions_2d(input_size // reduction, resolution).to(self.cls_token.device)
        self.register_buffer("pos_embed", positions, persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, 768, H / reduction, W / reduction) of an image (B, bands, H, W)."""
        reduction = self.reductions[0]
        grid = (image.shape[-2] // reduction, image.shape[-1] // reduction)
        tokens = self.in_norm(self._projected(image, grid).flatten(2).transpose(1, 2)) + self.pos_embed[:, 1:]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(image.shape[0], -1, -1)
        tokens = torch.cat([first, tokens], dim=1)
        maps = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in LAYERS:
                maps.append(map_from_tokens(self.norm(tokens) if index == LAYERS[-1] else tokens, grid, prefix=1))
        return maps

    def _projected(self, image: Tensor, grid: tuple[int, int]) -> Tensor:
        """State (B, C, rows, columns) of the tokens.

        The image is brought to the tokens' resolution before its bands are weighted, not after: both are linear, so the result is the
        same, and there are `reduction` ** 2 times fewer weighted sums, of 768 channels each.
        """
        (projector,) = (part for name, part in self.named_children() if name.endswith("_projector"))
        small = F.interpolate(image, size=grid, mode="bilinear", align_corners=False)
        state: Tensor = self.resampler((small.flatten(2).transpose(1, 2) @ projector()).transpose(1, 2).unflatten(2, grid))
        return state


def build(bands: Sequence[Band], input_size: int, *, input_resolution: float = 3.0, resolution: float = 24.0, orbit: str = "asc") -> RamenFeatures:
    """The encoder with fresh weights, for optical bands or for polarizations of a radar.

    `input_resolution` and `resolution`: meters per pixel and per token; their ratio is the maps' reduction. `orbit` of a radar: "asc"
    or "des".
    """
    reduction = round(resolution / input_resolution) if input_resolution > 0 else 0
    if reduction < 1 or not math.isclose(reduction * input_resolution, resolution):
        message = f"encoder ramen needs tokens of a whole number of pixels, got {resolution} m for pixels of {input_resolution} m"
        raise ConfigError(message, "give resolution as a multiple of input_resolution")
    require_multiple("ramen", input_size, reduction)
    return RamenFeatures(_projector(bands, orbit), input_size=input_size, resolution=resolution, reduction=reduction)


def _projector(bands: Sequence[Band], orbit: str) -> nn.Module:
    if orbit not in ("asc", "des"):
        raise ConfigError(f"encoder ramen knows the orbits asc and des, got {orbit!r}", "--encoder-option orbit=asc")
    if bands and all(band.wavelength_um is not None for band in bands):
        return SpectralProjector(bands)
    if bands and all(band.sensor == "sar" and band.name in POLARIZATIONS for band in bands):
        return RadarProjector(bands, orbit)
    message = f"encoder ramen takes optical bands with wavelengths, or the polarizations {', '.join(POLARIZATIONS)}; got {', '.join(names_of(bands)) or 'none'}"
    raise ConfigError(message, "leave the other bands out")


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint: the encoder's part of `state_dict`, without the projectors and polarizations that the bands don't use."""
    weights = read_weights(source)
    for wrapper in ("state_dict", "model", "encoder"):
        weights = weights.inside(wrapper)
    weights = weights.without(r"decoders?\..*|decoder_.*|mask_token", "decoder of the pretraining")
    own = module.state_dict()
    unused = [name for name in weights.tensors if re.match(r"(spectral|radar|dem)_projector\.", name) and name not in own]
    for reason, names in _reasons(unused, {name.partition(".")[0] for name in own}).items():
        weights = weights.without("|".join(re.escape(name) for name in names), reason)
    return weights.loaded_into(module)


def _reasons(unused: Sequence[str], parts: set[str]) -> dict[str, list[str]]:
    """The unused tensors by reason; those of a projector that the module has are only polarizations, others stay and are an error."""
    other = [name for name in unused if name.partition(".")[0] not in parts]
    polarizations = [name for name in unused if name not in other and re.fullmatch(r"radar_projector\.(asc|des)_[vh]{2}_param", name)]
    found = {"projector of bands that the encoder doesn't have": other, "polarization or orbit that the encoder doesn't have": polarizations}
    return {reason: names for reason, names in found.items() if names}


ENCODER = EncoderSpec(
    name="ramen",
    build=build,
    load_weights=load_weights,
    divisor=8,
    input_size=512,
    pyramid=False,
    options={"input_resolution": 3.0, "resolution": 24.0, "orbit": "asc"},
    description=(
        "RAMEN ViT-B on any optical bands, or on a radar's polarizations; tokens of 24 m for pixels of 3 m unless told otherwise; maps after "
        "blocks 4, 6, 8, 12, the last one normalized. Parameters as in Cryo-Bench but for projectors that the bands don't use"
    ),
    license="see source",
    source="https://huggingface.co/nicolashoudre/RAMEN",
    official=(WeightsFile(url="https://huggingface.co/nicolashoudre/RAMEN/resolve/main/ramen_base_99.ckpt", name="ramen_base_99.ckpt"),),
)
