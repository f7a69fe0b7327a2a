"""Feature maps of torchgeo's backbones: networks of timm, Swin transformers of torchvision, and DOFA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.core.specs import Band
from harness.support.dofa import DofaFeatures, load_dofa, wavelengths_of
from harness.support.features import TimmFeatures, feature_layers, is_pyramid
from harness.support.maps import require_maps
from harness.support.positions import fix_positions
from harness.support.timm_weights import load_timm_weights
from harness.support.weights import Weights, read_weights


class SwinStages(nn.Module):
    """Maps after each stage of a Swin transformer of torchvision, strides 4 to 32, none normalized. Parameter names are the library's."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.features = network.features
        width = network.features[0][0].out_channels
        self.channels = tuple(width * 2**stage for stage in range(4))
        self.reductions = (4, 8, 16, 32)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, channels[i], H / reductions[i], W / reductions[i]) of an image (B, bands, H, W)."""
        maps, state = [], image
        for index, part in enumerate(self.features):
            state = part(state)
            if index % 2:
                maps.append(state.permute(0, 3, 1, 2))
        return maps


def maps_of(name: str, network: Any, bands: Sequence[Band], input_size: int) -> nn.Module:
    """The network of torchgeo, made for these bands and this size, as one that gives maps. Raises ConfigError."""
    module = _adapted(name, network, bands, input_size)
    require_maps(name, module, len(bands), input_size)
    return module


def _adapted(name: str, network: Any, bands: Sequence[Band], input_size: int) -> nn.Module:
    if hasattr(network, "features"):
        return SwinStages(_for_bands(network, len(bands)))
    if hasattr(network, "forward_intermediates"):
        reductions = [stage["reduction"] for stage in network.feature_info]
        return TimmFeatures(network, feature_layers(reductions), norm_last=not is_pyramid(reductions))
    fix_positions(network, input_size // network.patch_size)
    layers = feature_layers([network.patch_size] * len(network.blocks))
    return DofaFeatures(network, wavelengths_of(name, bands), layers=layers, patch=network.patch_size)


def _for_bands(network: Any, bands: int) -> Any:
    """A Swin transformer of torchvision with a first layer for these bands."""
    first = network.features[0][0]
    if first.in_channels != bands:
        network.features[0][0] = nn.Conv2d(bands, first.out_channels, first.kernel_size, first.stride)
    return network


def load_maps(module: Any, source: Path | Weights, *, name: str) -> Mapping[str, Any]:
    """Load a file of torchgeo's weights of the network `name`; of a Swin transformer also one of Satlas's, whose tensors lie under `backbone.backbone.`."""
    if isinstance(module, TimmFeatures):
        return load_timm_weights(module, source, name=name)
    return load_dofa(module, source) if isinstance(module, DofaFeatures) else _load_swin(module, source)


def _load_swin(module: SwinStages, source: Path | Weights) -> Mapping[str, Any]:
    from timm.models import adapt_input_conv

    weights = read_weights(source)
    for wrapper in ("state_dict", "model", "backbone", "backbone"):
        weights = weights.inside(wrapper)
    weights = weights.without(r"(norm|head)\..*", "norm and classifier: no returned feature passes them")
    weights = weights.without(r".*\.relative_(position_index|coords_table)", "computed by the constructor")
    first, wanted = "features.0.0.weight", module.features[0][0].weight.shape
    if first in weights.tensors and weights.tensors[first].ndim == 4 and weights.tensors[first].shape[1] == 3:
        weights = weights.with_shape(first, wanted, f"3 bands to {wanted[1]} by timm", partial(adapt_input_conv, wanted[1]))
    return weights.loaded_into(module, kept={r".*\.relative_(position_index|coords_table)": "computed by the constructor"})
