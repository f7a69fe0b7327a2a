"""Prithvi's transformers for one date: networks of terratorch, weights as IBM and NASA publish them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.core.specs import Band
from harness.support.positions import with_positions
from harness.support.sensors import require_bands, sentinel2
from harness.support.terratorch_parts import terratorch_module
from harness.support.tokens import VitFeatures, require_multiple
from harness.support.weights import Weights, read_weights

#: Harmonized Landsat and Sentinel-2: blue, green, red, narrow near infrared and two short-wave infrared bands.
BANDS = sentinel2("B2", "B3", "B4", "B8A", "B11", "B12")
PATCH = 16
#: Patches of one date in the published files: 224 px.
PATCHES = 14 * 14
LICENSE = "network Apache-2.0 (terratorch); weights Apache-2.0: see source"


class PrithviFeatures(VitFeatures):
    """VitFeatures of an image that is one date of a series."""

    def embedded(self, image: Tensor) -> Tensor:
        """Tokens (B, patches, C) of an image (B, bands, H, W)."""
        tokens: Tensor = self.patch_embed(image[:, :, None])
        return tokens


def build_prithvi(name: str, bands: Sequence[Band], input_size: int, *, shape: Mapping[str, int], layers: Sequence[int], norm_last: bool) -> PrithviFeatures:
    """The network with fresh weights and fixed sine-cosine positions; `shape`: embed_dim, depth, num_heads."""
    require_bands(name, bands, BANDS)
    require_multiple(name, input_size, PATCH)
    library = terratorch_module("prithvi_mae", "models.backbones")
    network = library.PrithviViT(img_size=input_size, patch_size=(1, PATCH, PATCH), num_frames=1, in_chans=len(BANDS), mlp_ratio=4.0, **shape)
    positions = network.pos_embed
    del network.pos_embed
    network.pos_embed = nn.Parameter(positions, requires_grad=False)
    return PrithviFeatures(network, layers=layers, patch=PATCH, norm_last=norm_last)


def load_prithvi(module: nn.Module, source: Path | Weights, *, patches: int = PATCHES) -> Mapping[str, Any]:
    """Load a published checkpoint, of the encoder alone or with the decoder of the pretraining, for any number of dates.

    `patches`: of one date in the file.
    """
    weights = read_weights(source)
    for wrapper in ("model", "state_dict", "encoder"):
        weights = weights.inside(wrapper)
    weights = weights.without(r"decoder.*|mask_token", "decoder of the pretraining")
    weights = weights.without(r"(temporal|location)_embed_enc\..*", "the encoder is told neither time nor place")
    if "norm.weight" not in module.state_dict():
        weights = weights.without(r"norm\..*", "final norm: no returned feature passes it")
    return with_positions(_for_one_date(weights, module, patches), "pos_embed", module).loaded_into(module)


def _for_one_date(weights: Weights, module: nn.Module, patches: int) -> Weights:
    """With the positional embedding of the first date, where the file's is for several dates of 224 px.

    It is the one that a network for one date computes: the part for the time is that of time 0, the part for the place does not depend
    on the date.
    """
    given = weights.tensors.get("pos_embed")
    if given is None or given.ndim != 3 or given.shape == module.get_parameter("pos_embed").shape:
        return weights
    dates, rest = divmod(given.shape[1] - 1, patches)
    if rest or dates < 2:
        return weights
    return weights.adapting("pos_embed", f"the first of {dates} dates", lambda old: old[:, : 1 + patches])
