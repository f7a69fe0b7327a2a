"""Every timm backbone that gives feature maps, as `timm:<name>`, on any bands: CNNs, hierarchical and plain transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import timm
import torch

from harness.core.specs import Band, EncoderFamily, EncoderSpec
from harness.support.features import TimmFeatures, feature_layers, is_pyramid, takes_size, timm_features, timm_network
from harness.support.timm_weights import load_timm_weights


def spec(name: str) -> EncoderSpec:
    """The spec of one backbone, with or without timm's tag of a set of weights. Raises UnknownNameError with near matches."""
    with torch.device("meta"):
        stages = timm_network(name).feature_info
    reductions = [stage["reduction"] for stage in stages]
    chosen = [reductions[layer] for layer in feature_layers(reductions)]
    facts = timm.get_pretrained_cfg(name)
    return EncoderSpec(
        name=f"timm:{name}",
        build=partial(build, name=name),
        load_weights=partial(load_timm_weights, name=name),
        divisor=max(chosen),
        input_size=facts.input_size[-1] if facts and takes_size(facts) else None,
        options={"drop_path_rate": 0.0},
        pyramid=is_pyramid(reductions),
        description=f"timm's {name}; maps at 1/{', 1/'.join(map(str, chosen))} of the input",
        license=f"network Apache-2.0 (timm); weights: {(facts and facts.license) or 'see source'}",
        source=f"https://huggingface.co/{facts.hf_hub_id}" if facts and facts.hf_hub_id else "https://github.com/huggingface/pytorch-image-models",
    )


def build(bands: Sequence[Band], input_size: int, *, name: str, drop_path_rate: float = 0.0) -> TimmFeatures:
    """The backbone with fresh weights. Raises ConfigError where it gives no maps at this size, or knows no `drop_path_rate`."""
    return timm_features(name, len(bands), input_size, **({"drop_path_rate": drop_path_rate} if drop_path_rate else {}))


ENCODER = EncoderFamily(
    name="timm",
    spec=spec,
    description="every timm backbone with feature maps",
    examples=("resnet18", "mobilenetv3_small_100", "convnext_tiny", "swin_tiny_patch4_window7_224", "vit_small_patch16_224"),
)
