"""Backbones of torchgeo, as `torchgeo:<name>`, on any bands: residual networks, vision and Swin transformers, DOFA."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import timm
import torch
import torchgeo.models as library
from torch import nn

from harness.core.errors import ConfigError, UnknownNameError
from harness.core.specs import Band, EncoderFamily, EncoderSpec
from harness.support.features import feature_layers, is_pyramid, takes_size
from harness.support.maps import on_default_device, require_some_bands
from harness.support.tokens import require_multiple
from harness.support.torchgeo_networks import load_maps, maps_of

#: Why the other models of torchgeo give no maps here, and what to use.
UNUSABLE = {
    "aurora_swin_unet": ("it forecasts the atmosphere from levels of pressure, not from an image", "harness list encoders"),
    "copernicusfm_base": ("it needs the bandwidth of every band, which no data set here declares", "dofa, which needs wavelengths only"),
    "croma_base": ("it takes Sentinel-2 and Sentinel-1 by modality", "croma"),
    "croma_large": ("it takes Sentinel-2 and Sentinel-1 by modality", "croma"),
    "earthloc": ("it gives one vector for an image", "torchgeo:resnet50"),
    "panopticon_vitb14": ("it takes channel numbers beside the image", "dofa, which needs wavelengths only"),
    "scalemae_large_patch16": ("it is an encoder of its own, with the ground resolution as an option", "scalemae"),
    "unet": ("it is a whole segmentation network", "smp:resnet50, with +unet"),
}


def spec(name: str) -> EncoderSpec:
    """The spec of one backbone. Raises UnknownNameError with near matches, and ConfigError for a model that gives no maps of an image."""
    if name in UNUSABLE:
        why, instead = UNUSABLE[name]
        raise ConfigError(f"torchgeo's {name} can't be an encoder here: {why}", instead)
    if name not in library.list_models():
        usable = [known for known in library.list_models() if known not in UNUSABLE]
        raise UnknownNameError("encoder", f"torchgeo:{name}", [f"torchgeo:{known}" for known in usable])
    facts = _facts(name)
    return EncoderSpec(
        name=f"torchgeo:{name}",
        build=partial(build, name=name),
        load_weights=partial(load_maps, name=name),
        divisor=max(facts["maps"]),
        input_size=facts["size"],
        pyramid=is_pyramid(facts["maps"]),
        description=f"torchgeo's {name}; maps at 1/{', 1/'.join(map(str, facts['maps']))} of the input",
        license="network MIT (torchgeo) or Apache-2.0 (timm); weights: see source",
        source="https://huggingface.co/torchgeo",
        extra="zoo",
    )


def _facts(name: str) -> dict[str, Any]:
    """The reductions of the maps and the input size of the pretraining, None where the network takes any."""
    if name.startswith("swin"):
        return {"maps": (4, 8, 16, 32), "size": None}
    if name.startswith("dofa"):
        patch = int(name.partition("patch")[2].partition("_")[0])
        return {"maps": (patch,) * 4, "size": 224}
    with torch.device("meta"):
        reductions = [stage["reduction"] for stage in _network(name, 3, None).feature_info]
    pretrained = timm.get_pretrained_cfg(name)
    size = pretrained.input_size[-1] if pretrained and takes_size(pretrained) else None
    return {"maps": tuple(reductions[layer] for layer in feature_layers(reductions)), "size": size}


def build(bands: Sequence[Band], input_size: int, *, name: str) -> nn.Module:
    """The backbone with fresh weights. Raises ConfigError where it gives no maps at this size."""
    facts = _facts(name)
    require_some_bands(f"torchgeo:{name}", len(bands))
    require_multiple(f"torchgeo:{name}", input_size, max(facts["maps"]))
    network = on_default_device(partial(_network, name, len(bands), input_size if facts["size"] else None))
    return maps_of(f"torchgeo:{name}", network, bands, input_size)


def _network(name: str, bands: int, input_size: int | None) -> Any:
    """The library's network without classifier; nothing is downloaded."""
    make = getattr(library, name)
    if name.startswith("swin"):
        return make()
    if name.startswith("dofa"):
        return make(global_pool=False, num_classes=0, img_size=input_size)
    return make(in_chans=bands, num_classes=0, **({"img_size": input_size} if input_size else {}))


ENCODER = EncoderFamily(
    name="torchgeo",
    spec=spec,
    description="backbones of torchgeo with feature maps",
    examples=("resnet18", "swin_v2_t", "vit_small_patch16_224"),
)
