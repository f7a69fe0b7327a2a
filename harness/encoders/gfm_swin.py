"""GFM: Swin-B on RGB, continually pretrained on geospatial pictures (Mendieta et al. 2023, arXiv:2302.04476)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.core.specs import Band, EncoderSpec
from harness.support.positions import with_bias_table
from harness.support.sensors import RGB, require_bands
from harness.support.tokens import require_multiple
from harness.support.weights import Weights, read_weights

WINDOW = 6
#: Where red, green and blue lie in a file trained on 12 Sentinel-2 bands.
RGB_OF_12 = [3, 2, 1]


class SwinFeatures(nn.Module):
    """The maps that each stage hands to the next (strides 8, 16, 32) and the last stage's own (32), none normalized.

    This is what Cryo-Bench takes: there is no map of stride 4.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.channels = (256, 512, 1024, 1024)
        self.reductions = (8, 16, 32, 32)
        self.patch_embed = network.patch_embed
        self.layers = network.layers

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, C, rows, columns) of an image (B, 3, H, W)."""
        state = self.layers[0](self.patch_embed(image))
        maps = []
        for stage in list(self.layers)[1:]:
            merged = stage.downsample(state)
            maps.append(merged)
            state = stage.blocks(merged)
        return [found.permute(0, 3, 1, 2) for found in [*maps, state]]


def build(bands: Sequence[Band], input_size: int) -> SwinFeatures:
    """The encoder with fresh weights; sides of a multiple of 192 fill its windows, others are padded inside."""
    from timm.models.swin_transformer import SwinTransformer

    require_bands("gfm_swin", bands, RGB)
    require_multiple("gfm_swin", input_size, 32)
    network = SwinTransformer(
        img_size=input_size,
        patch_size=4,
        num_classes=0,
        embed_dim=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=WINDOW,
    )
    return SwinFeatures(network)


def load_weights(module: nn.Module, source: Path | Weights) -> Mapping[str, Any]:
    """Load the published checkpoint: `encoder` of `model`; each stage's downsampling is named after the stage before it there."""
    weights = read_weights(source).inside("model").inside("encoder")
    weights = weights.without(r".*(relative_position_index|relative_coords_table|attn_mask)", "computed from the window size")
    weights = weights.without(r"norm\..*", "final norm: no returned feature passes it").without(r"head\..*|mask_token", "head of the pretraining")
    weights = weights.renamed(r"layers\.(\d+)\.downsample\.", lambda found: f"layers.{int(found[1]) + 1}.downsample.")
    return _with_windows(_with_rgb(weights, module), module).loaded_into(module)


def _with_rgb(weights: Weights, module: nn.Module) -> Weights:
    name = "patch_embed.proj.weight"
    wanted = tuple(module.get_parameter(name).shape)
    given = weights.tensors[name].shape[1] if name in weights.tensors else None
    if given == 1:
        return weights.with_shape(name, wanted, "the one band repeated", lambda kernel: kernel.repeat(1, 3, 1, 1))
    if given == 12:
        return weights.with_shape(name, wanted, "red, green and blue of 12 bands", lambda kernel: kernel[:, RGB_OF_12])
    return weights


def _with_windows(weights: Weights, module: nn.Module) -> Weights:
    for name, _ in module.named_parameters():
        if name.endswith(".relative_position_bias_table"):
            weights = with_bias_table(weights, name, module, extra=0)
    return weights


ENCODER = EncoderSpec(
    name="gfm_swin",
    build=build,
    load_weights=load_weights,
    divisor=32,
    input_size=192,
    bands=RGB,
    description=(
        "GFM Swin-B on RGB, windows of 6; maps of strides 8, 16, 32 (after each merging) and 32 (last stage), not normalized. Against "
        "Cryo-Bench: without the unused final norm (2048)"
    ),
    license="network Apache-2.0 (timm); weights: see source",
    source="https://github.com/mmendiet/GFM",
)
