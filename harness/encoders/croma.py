"""CROMA large: transformers for Sentinel-2, Sentinel-1 and both, with two-dimensional ALiBi (Fuller et al. 2023, arXiv:2311.00566)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec, WeightsFile
from harness.support.sensors import SENTINEL1, SENTINEL2_L2A, require_bands
from harness.support.tokens import layers_after, map_from_tokens, require_multiple
from harness.support.weights import Weights, read_weights

LAYERS = (3, 5, 7, 11)
PATCH, WIDTH, HEADS = 8, 1024, 16
#: Layers that are built per modality: the optical network has 24, but its features end at the 12th; the joint one needs its last.
DEPTHS = {"optical": {"s2_encoder": 12}, "sar": {"s1_encoder": 12}, "joint": {"s1_encoder": 12, "s2_encoder": 24}}
BANDS = {"optical": SENTINEL2_L2A, "sar": SENTINEL1, "joint": (*SENTINEL2_L2A, *SENTINEL1)}
CHANNELS = {"s2_encoder": len(SENTINEL2_L2A), "s1_encoder": len(SENTINEL1)}


class CromaFeatures(nn.Module):
    """Maps after layers 4, 6, 8 and 12, the last one normalized; of the joint network, of its cross-attention layers.

    The joint network takes one tensor: the 12 optical channels, then the two of the radar.
    """

    bias: Tensor

    def __init__(self, parts: Mapping[str, nn.Module], bias: Tensor) -> None:
        super().__init__()
        self.channels = (WIDTH,) * len(LAYERS)
        self.reductions = (PATCH,) * len(LAYERS)
        for name, part in parts.items():
            self.add_module(name, part)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, 1024, H / 8, W / 8) of an image (B, bands, H, W)."""
        grid = (image.shape[-2] // PATCH, image.shape[-1] // PATCH)
        parts: dict[str, Any] = dict(self.named_children())
        if "joint_encoder" in parts:
            optical, radar = image[:, : CHANNELS["s2_encoder"]], image[:, CHANNELS["s2_encoder"] :]
            joint = parts["joint_encoder"]
            states, norm = self._crossed(joint, self._last(parts["s1_encoder"], radar), self._last(parts["s2_encoder"], optical)), joint.norm_out
        else:
            (part,) = parts.values()
            states, norm = self._states(part, image), part.transformer.norm_out
        chosen = [state for index, state in enumerate(states) if index in LAYERS]
        return [map_from_tokens(tokens, grid) for tokens in [*chosen[:-1], norm(chosen[-1])]]

    def _last(self, part: Any, image: Tensor) -> Tensor:
        *_, last = self._states(part, image)
        normed: Tensor = part.transformer.norm_out(last)
        return normed

    def _states(self, part: Any, image: Tensor) -> Iterable[Tensor]:
        tokens = part.linear_input(patches_of(image))
        for attention, mlp in part.transformer.layers:
            tokens = attention(tokens, self.bias) + tokens
            tokens = mlp(tokens) + tokens
            yield tokens

    def _crossed(self, part: Any, tokens: Tensor, context: Tensor) -> Iterable[Tensor]:
        for attention, cross, mlp in part.layers:
            tokens = attention(tokens, self.bias) + tokens
            tokens = cross(tokens, context, self.bias) + tokens
            tokens = mlp(tokens) + tokens
            yield tokens


def patches_of(image: Tensor) -> Tensor:
    """Patches of 8 x 8 pixels, row by row: (B, patches, C * 64) of (B, C, H, W), each patch channel by channel."""
    rows, columns = image.shape[-2] // PATCH, image.shape[-1] // PATCH
    cells = image.reshape(-1, image.shape[1], rows, PATCH, columns, PATCH).permute(0, 2, 4, 1, 3, 5)
    return cells.reshape(-1, rows * columns, image.shape[1] * PATCH * PATCH)


def alibi_2d(heads: int, side: int) -> Tensor:
    """Attention bias (1, heads, n, n) of n = side * side patches: minus the distance in patches times the slope of the head.

    Slopes are 2 ** (-8 (h + 1) / heads) (Press et al. 2022, arXiv:2108.12409), distances Euclidean (Fuller et al. 2023).
    """
    line = torch.arange(side, dtype=torch.float64, device="cpu")
    points = torch.stack([line.repeat_interleave(side), line.repeat(side)], dim=1)
    distance = (points[:, None] - points[None]).square().sum(-1).sqrt().float()
    slopes = torch.tensor([2.0 ** (-8 * (head + 1) / heads) for head in range(heads)], device="cpu")
    return -(distance[None] * slopes[:, None, None])[None]


def build(bands: Sequence[Band], input_size: int, *, modality: str = "optical") -> CromaFeatures:
    """The encoder with fresh weights for "optical" (12 bands), "sar" (VV, VH) or "joint" (12 + 2 bands in one tensor)."""
    from torchgeo.models.croma import BaseTransformerCrossAttn, ViT

    if modality not in DEPTHS:
        raise ConfigError(f"encoder croma has no modality {modality!r}; known: {', '.join(DEPTHS)}", "harness list encoders")
    require_bands(f"croma with modality {modality}", bands, BANDS[modality])
    require_multiple("croma", input_size, PATCH)
    parts: dict[str, nn.Module] = {name: ViT(dim=WIDTH, depth=depth, in_channels=CHANNELS[name]) for name, depth in DEPTHS[modality].items()}
    if modality == "joint":
        parts["joint_encoder"] = BaseTransformerCrossAttn(dim=WIDTH, depth=12, num_heads=HEADS)
    bias = alibi_2d(HEADS, input_size // PATCH).to(next(parts["s1_encoder" if modality != "optical" else "s2_encoder"].parameters()).device)
    return CromaFeatures(parts, bias)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint of all three networks; those that the module lacks are dropped."""
    weights = read_weights(source).renamed(r"cross_encoder\.", "joint_encoder.")
    weights = weights.without(r"s[12]_GAP_FFN\..*|joint_GAP_FFN\..*", "head of the averaged tokens: feature maps are not averaged")
    weights = weights.without(r"attn_bias", "computed from the input size")
    for part in ("s1_encoder", "s2_encoder", "joint_encoder"):
        if not hasattr(module, part):
            weights = weights.without(rf"{part}\..*", f"{part} is no part of this modality")
    if not hasattr(module, "joint_encoder"):
        weights = weights.without(rf"s2_encoder\.transformer\.layers\.{layers_after(LAYERS[-1])}\..*", "layers after the last returned feature")
    return weights.loaded_into(module)


ENCODER = EncoderSpec(
    name="croma",
    build=build,
    load_weights=load_weights,
    divisor=8,
    input_size=120,
    pyramid=False,
    bands=SENTINEL2_L2A,
    bands_for=lambda modality="optical": BANDS.get(modality, SENTINEL2_L2A),
    options={"modality": "optical"},
    choices={"modality": tuple(BANDS)},
    description=(
        "CROMA large on Sentinel-2 (modality optical), Sentinel-1 (sar) or both in one tensor, optical first (joint); maps after layers 4, 6, "
        "8, 12, the last one normalized. Against Cryo-Bench: the optical layers 13 to 24 (151117824 parameters) feed no returned feature and "
        "are neither kept nor run"
    ),
    license="network MIT (torchgeo); weights: see source",
    source="https://huggingface.co/antofuller/CROMA",
    official=(WeightsFile(url="https://huggingface.co/antofuller/CROMA/resolve/main/CROMA_large.pt", name="CROMA_large.pt"),),
    extra="zoo",
)
