"""The ViT-S/16 that SSL4EO-S12 trained in three ways (MoCo, DINO, MAE): one network, told apart by its bands, biases and positions."""

from __future__ import annotations

from torch import nn

from harness.support.positions import fix_positions, with_positions
from harness.support.tokens import VitFeatures, require_multiple
from harness.support.weights import Weights

LAYERS = (3, 5, 7, 11)
PATCH = 16
LICENSE = "network Apache-2.0 (timm); weights: see source"
SOURCE = "https://github.com/zhu-xlab/SSL4EO-S12"


def build_vit_small(name: str, num_bands: int, input_size: int, *, qkv_bias: bool = True, fixed_positions: bool = False) -> VitFeatures:
    """ViT-S/16 with maps of 384 channels after blocks 4, 6, 8 and 12; no final norm, no head."""
    from timm.models.vision_transformer import VisionTransformer

    require_multiple(name, input_size, PATCH)
    network = VisionTransformer(
        img_size=input_size,
        patch_size=PATCH,
        in_chans=num_bands,
        num_classes=0,
        embed_dim=384,
        depth=12,
        num_heads=6,
        qkv_bias=qkv_bias,
        global_pool="",
    )
    if fixed_positions:
        fix_positions(network, input_size // PATCH)
    return VitFeatures(network, layers=LAYERS, patch=PATCH, norm_last=False)


def without_heads(weights: Weights, module: nn.Module) -> Weights:
    """The weights of the pretraining without what an encoder of feature maps has no use for."""
    weights = weights.without(r"(fc_)?norm\..*", "final norm: no returned feature passes it")
    weights = weights.without(r"head\..*|head", "head of the pretraining")
    weights = weights.without(r"decoder_.*|mask_token", "decoder of the pretraining")
    return with_positions(weights, "pos_embed", module)
