"""Whether the maps of a library's network are what it announces, and its making where there is no memory for weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.support.meta import meta_copy

HINT = "choose another --input-size, or another backbone"
#: What libraries raise for an input that they can't take.
REFUSALS = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, KeyError, NotImplementedError)


def require_maps(name: str, module: nn.Module, bands: int, input_size: int, *, hint: str = HINT) -> None:
    """Raises ConfigError unless the module's maps of a square image are as its `channels` and `reductions` say; nothing is computed."""
    channels, reductions = tuple(module.channels), tuple(module.reductions)  # type: ignore[arg-type]
    try:
        shapes = [tuple(found.shape[1:]) for found in outputs_of(module, bands, input_size)]
    except REFUSALS as error:
        raise ConfigError(f"encoder {name} can't give feature maps at {input_size} px: {error or type(error).__name__}", hint) from error
    if shapes != [(width, input_size / by, input_size / by) for width, by in zip(channels, reductions, strict=True)]:
        raise ConfigError(f"encoder {name} gives maps of {shapes} at {input_size} px; its reductions are {reductions}", hint)


def outputs_of(module: nn.Module, bands: int, input_size: int) -> list[Tensor]:
    """What the module gives for one image, as tensors without content; the module is left as it is."""
    with torch.no_grad():
        return list(meta_copy(module).eval()(torch.empty(1, bands, input_size, input_size, device="meta")))


def on_default_device(make: Callable[[], nn.Module]) -> nn.Module:
    """The network that `make` gives, on PyTorch's default device; made on the CPU where its making asks a tensor for a value."""
    try:
        network = make()
    except (RuntimeError, NotImplementedError) as error:
        if "meta tensor" not in str(error):
            raise
        with torch.device("cpu"):
            network = make()
    return network.to(torch.get_default_device())


def require_some_bands(name: str, bands: int) -> None:
    """Raises ConfigError where there is no band."""
    if not bands:
        raise ConfigError(f"encoder {name} needs at least one band, got none", "give a data set with bands")
