"""TerraMind: transformers on Sentinel-2, Sentinel-1 or both, of IBM and ESA (Jakubik et al. 2025, arXiv:2504.11171)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec
from harness.support.positions import INTERPOLATED
from harness.support.sensors import RGB, SENTINEL1, SENTINEL2, SENTINEL2_L2A, require_bands, sentinel2
from harness.support.terratorch_parts import terratorch_module
from harness.support.tokens import map_from_tokens, require_multiple
from harness.support.weights import Weights, read_weights

PATCH, TRAINED_SIZE = 16, 224
PACKAGE = "models.backbones.terramind.model"
#: The embeddings that a modality needs, each with its bands.
S2L2A, S1 = {"untok_sen2l2a@224": SENTINEL2_L2A}, {"untok_sen1grd@224": SENTINEL1}
MODALITIES: Mapping[str, Mapping[str, tuple[Band, ...]]] = {
    "s2l2a": S2L2A,
    "s1": S1,
    "both": S2L2A | S1,
    "s2l1c": {"untok_sen2l1c@224": SENTINEL2},
    "rgb": {"untok_sen2rgb@224": RGB},
}
#: Cryo-Bench's configuration names B10 where level 2A, and the published weights, have B9.
BANDS_WITH_BUG = sentinel2("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B10", "B11", "B12")


class TerraMindFeatures(nn.Module):
    """Maps after chosen blocks, the last one normalized; of several modalities their mean. Parameter names are the library's."""

    def __init__(self, embeddings: Mapping[str, nn.Module], blocks: Sequence[nn.Module], norm: nn.Module, *, width: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.channels = (width,) * len(layers)
        self.reductions = (PATCH,) * len(layers)
        self.encoder_embeddings = nn.ModuleDict(embeddings)
        self.encoder = nn.ModuleList(blocks)
        self.encoder_norm = norm

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, width, H / 16, W / 16) of an image (B, bands, H, W), the bands of one modality after those of the other."""
        grid = (image.shape[-2] // PATCH, image.shape[-1] // PATCH)
        tokens = torch.cat(list(self._embedded(image)), dim=1)
        maps = []
        for index, block in enumerate(self.encoder):
            tokens = block(tokens)
            if index in self.layers:
                chosen = self.encoder_norm(tokens) if index == self.layers[-1] else tokens
                each = chosen.reshape(chosen.shape[0], len(self.encoder_embeddings), -1, chosen.shape[-1])
                maps.append(map_from_tokens(each.mean(1), grid))
        return maps

    def _embedded(self, image: Tensor) -> list[Tensor]:
        parts: list[Any] = list(self.encoder_embeddings.values())
        images = torch.split(image, [part.num_channels for part in parts], dim=1)
        found = [part(one) for part, one in zip(parts, images, strict=True)]
        return [one["x"] + one["emb"] for one in found]


SIZES = {
    "base": {"width": 768, "depth": 12, "heads": 12, "layers": (3, 5, 7, 11)},
    "large": {"width": 1024, "depth": 24, "heads": 16, "layers": (7, 11, 15, 23)},
}


def bands_for(*, modality: str = "s2l2a", size: str = "base", reference_bugs: bool = False) -> tuple[Band, ...]:
    """The bands of a modality, those of level 2A for one that is not known (`build` refuses it)."""
    parts = MODALITIES.get(modality, S2L2A).values()
    return tuple(band for part in parts for band in (BANDS_WITH_BUG if reference_bugs and part is SENTINEL2_L2A else part))


def build(bands: Sequence[Band], input_size: int, *, modality: str = "s2l2a", size: str = "base", reference_bugs: bool = False) -> TerraMindFeatures:
    """The encoder with fresh weights.

    `modality`: "s2l2a" (12 bands), "s1" (VV, VH), "both" (12 + 2 bands in one tensor), "s2l1c" (13 bands) or "rgb" (B4, B3, B2).
    `size`: "base" or "large". `reference_bugs`: level 2A is asked for with B10 where it has B9, as in Cryo-Bench.
    """
    if modality not in MODALITIES or size not in SIZES:
        raise ConfigError(
            f"encoder terramind has no modality {modality!r} of size {size!r}; known: {', '.join(MODALITIES)}; base, large", "harness list encoders"
        )
    require_bands(f"terramind with modality {modality}", bands, bands_for(modality=modality, reference_bugs=reference_bugs))
    require_multiple("terramind", input_size, PATCH)
    facts: Any = SIZES[size]
    parts = terratorch_module("tm_utils", PACKAGE)
    embeddings = {name: _embedding(len(part), facts["width"], input_size) for name, part in MODALITIES[modality].items()}
    blocks = [_block(parts, facts["width"], facts["heads"]) for _ in range(facts["depth"])]
    norm = parts.LayerNorm(facts["width"], eps=1e-6, bias=False)
    return TerraMindFeatures(embeddings, blocks, norm, width=facts["width"], layers=facts["layers"])


def _embedding(bands: int, width: int, input_size: int) -> nn.Module:
    """Patches to tokens; positions are those of 224 px, interpolated."""
    library = terratorch_module("encoder_embeddings", PACKAGE)
    embedding: Any = library.ImageEncoderEmbedding(bands, PATCH, dim_tokens=width, image_size=TRAINED_SIZE)
    nn.init.xavier_uniform_(embedding.proj.weight)
    embedding.pos_emb = _resized(embedding.pos_emb, input_size // PATCH)
    embedding.image_size = (input_size, input_size)
    return embedding  # type: ignore[no-any-return]


def _resized(positions: Tensor, side: int) -> Tensor:
    """An embedding (1, n * n, C) for another side, as the library interpolates it."""
    if positions.shape[1] == side * side:
        return positions
    resize = terratorch_module("tm_utils", PACKAGE).interpolate_pos_encoding
    resized: Tensor = resize(positions, side * PATCH, side * PATCH, (PATCH, PATCH), positions.shape[2])
    return resized


def _block(parts: Any, width: int, heads: int) -> nn.Module:
    """A block of TerraMind: gated MLP, no biases; weights drawn as the library does, q, k and v apart."""
    from functools import partial

    norm = partial(parts.LayerNorm, eps=1e-6, bias=False)
    block: nn.Module = parts.Block(
        dim=width, num_heads=heads, qkv_bias=False, proj_bias=False, mlp_bias=False, act_layer=nn.SiLU, norm_layer=norm, gated_mlp=True
    )
    for name, weight in block.named_parameters():
        if weight.ndim == 2:
            for part in weight.data.chunk(3 if "qkv" in name else 1):
                nn.init.xavier_uniform_(part)
    return block


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint, which holds embeddings of every modality and the decoder of the pretraining."""
    weights = read_weights(source)
    weights = weights.without(r"(decoder|mask_token|register_tokens).*", "decoder of the pretraining")
    embeddings = module.get_submodule("encoder_embeddings")
    for name in sorted({key.split(".")[1] for key in weights.tensors if key.startswith("encoder_embeddings.")}):
        if name not in dict(embeddings.named_children()):
            weights = weights.without(rf"encoder_embeddings\.{name}\..*", "embedding of a modality that is not asked for")
    for name, part in embeddings.named_children():
        weights = _with_positions(weights, f"encoder_embeddings.{name}.pos_emb", part)
    return weights.loaded_into(module, kept={r"encoder.*norm\d?\.bias": "zeros: the norms have no bias"})


def _with_positions(weights: Weights, name: str, embedding: Any) -> Weights:
    given, wanted = weights.tensors.get(name), tuple(embedding.pos_emb.shape)
    if given is None or given.ndim != 3 or given.shape[2] != wanted[2] or math.isqrt(given.shape[1]) ** 2 != given.shape[1]:
        return weights
    return weights.with_shape(name, wanted, INTERPOLATED, lambda old: _resized(old, math.isqrt(wanted[1])))


ENCODER = EncoderSpec(
    name="terramind",
    build=build,
    load_weights=load_weights,
    divisor=PATCH,
    input_size=TRAINED_SIZE,
    pyramid=False,
    bands=SENTINEL2_L2A,
    bands_for=bands_for,
    options={"modality": "s2l2a", "size": "base", "reference_bugs": False},
    choices={"modality": tuple(MODALITIES)},
    description=(
        "TerraMind 1.0 on Sentinel-2 (modality s2l2a, s2l1c or rgb), Sentinel-1 (s1) or both in one tensor, size base or large; maps after "
        "blocks 4, 6, 8, 12 (large: 8, 12, 16, 24), the last one normalized; parameters as in Cryo-Bench"
    ),
    license="network Apache-2.0 (terratorch); weights Apache-2.0: see source",
    source="https://huggingface.co/ibm-esa-geospatial/TerraMind-1.0-base",
    extra="zoo",
)
