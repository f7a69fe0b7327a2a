"""Feature maps of any timm backbone, through the interface that all of them share, `forward_intermediates`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
from torch import Tensor, nn

from harness.core.errors import ConfigError, UnknownNameError
from harness.support.maps import require_maps, require_some_bands

HINT = "choose another --input-size, or another backbone: `timm.list_models()`"


class TimmFeatures(nn.Module):
    """A timm network cut after the last layer that is asked for; gives maps (B, channels[i], H / reductions[i], W / reductions[i]).

    `norm_last`: the network's final norm is applied to the last map, and to no other.
    """

    def __init__(self, network: Any, layers: Sequence[int], *, norm_last: bool) -> None:
        super().__init__()
        network.prune_intermediate_layers(list(layers), prune_norm=not norm_last, prune_head=True)
        self.network = network
        self.layers = list(layers)
        self.norm_last = norm_last
        self.channels = tuple(network.feature_info[layer]["num_chs"] for layer in layers)
        self.reductions = tuple(network.feature_info[layer]["reduction"] for layer in layers)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = list(self.network.forward_intermediates(image, indices=self.layers, norm=False, output_fmt="NCHW", intermediates_only=True))
        if self.norm_last:
            maps[-1] = self.network.norm(maps[-1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return maps


def timm_network(name: str, **options: Any) -> Any:
    """A timm network without classifier. Raises UnknownNameError with near matches, and ConfigError for options that it can't take."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise UnknownNameError("encoder", f"timm:{name}", [f"timm:{known}" for known in timm.list_models()])
    if tag and name not in (known := timm.list_pretrained(f"{architecture}.*")):
        raise UnknownNameError("encoder", f"timm:{name}", [f"timm:{other}" for other in known])
    try:
        return timm.create_model(name, num_classes=0, **options)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        given = ", ".join(f"{key}={value}" for key, value in options.items())
        raise ConfigError(f"timm can't build {name} with {given}: {error}", HINT) from error


def feature_layers(reductions: Sequence[int]) -> tuple[int, ...]:
    """Which layers give maps: every stage of a pyramid; of a plain transformer of depth d, blocks d/3, d/2, 2d/3 and d (4, 6, 8 and 12 of 12)."""
    if is_pyramid(reductions):
        return tuple(range(len(reductions)))
    depth = len(reductions)
    return tuple(sorted({max(0, depth * sixths // 6 - 1) for sixths in (2, 3, 4, 6)}))


def is_pyramid(reductions: Sequence[int]) -> bool:
    """Whether the maps differ in resolution."""
    return len(set(reductions)) > 1


def timm_features(name: str, bands: int, input_size: int, **options: Any) -> TimmFeatures:
    """The backbone `name` for `bands` bands at `input_size` px, with fresh weights. Raises UnknownNameError or ConfigError."""
    require_some_bands(f"timm:{name}", bands)
    sized = {"img_size": input_size} if takes_size(timm.get_pretrained_cfg(name)) else {}
    network = timm_network(name, in_chans=bands, **sized, **options)
    reductions = [stage["reduction"] for stage in network.feature_info]
    norm_last = not is_pyramid(reductions) and isinstance(getattr(network, "norm", None), nn.Module)
    features = TimmFeatures(network, feature_layers(reductions), norm_last=norm_last)
    require_maps(f"timm:{name}", features, bands, input_size, hint=HINT)
    return features


def takes_size(facts: Any) -> bool:
    """Whether the input size is an argument of the network; `facts` is timm's own description of it."""
    return bool(facts and facts.fixed_input_size)
