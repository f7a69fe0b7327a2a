"""Published weights into a timm backbone, with timm's own conversions, and an account of every tensor."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import adapt_input_conv
from torch import Tensor

from harness.core.errors import CheckpointError
from harness.support.features import TimmFeatures
from harness.support.weights import Weights, read_weights

#: Where training scripts put the weights inside their files.
WRAPPERS = ("state_dict_ema", "state_dict", "model_ema", "model", "module")


def load_timm_weights(module: TimmFeatures, source: Path | Weights, *, name: str) -> Mapping[str, Any]:
    """Load a timm or original checkpoint of the backbone `name` into `module`.

    The first convolution is adapted to the bands, positions and relative biases to the input size, both by timm. The report says which
    tensors were dropped (classifier, layers after the last map) or changed. Raises CheckpointError listing every other misfit.
    """
    weights = read_weights(source) if isinstance(source, Path) else source
    for wrapper in WRAPPERS:
        weights = weights.inside(wrapper)
    weights = _converted(weights, module)
    weights = _without_unused(weights, module, name)
    return _with_bands(weights, module).loaded_into(module.network)


def _converted(weights: Weights, module: TimmFeatures) -> Weights:
    """Names and shapes as in timm, by the `checkpoint_filter_fn` of the network's own file."""
    network = module.network
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return weights
    try:
        tensors = convert(dict(weights.tensors), network)
    except (KeyError, AttributeError, RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise CheckpointError(
            f"{weights.source} can't be converted for {type(network).__name__}: {error!r}", "check that the file is of this backbone"
        ) from error
    kept = {tensor.data_ptr() for tensor in tensors.values()}
    gone = tuple(sorted(key for key in weights.tensors.keys() - tensors.keys() if weights.tensors[key].data_ptr() not in kept))
    changed = {key: _change(weights.tensors[key], tensor) for key, tensor in tensors.items() if _is_changed(weights.tensors.get(key), tensor)}
    dropped = {**weights.dropped, **({"converted or left out by timm": gone} if gone else {})}
    return replace(weights, tensors=tensors, dropped=dropped, adapted={**weights.adapted, **changed})


def _is_changed(before: Tensor | None, after: Tensor) -> bool:
    return before is not None and before.shape != after.shape


def _change(before: Tensor, after: Tensor) -> str:
    return f"resized by timm, {tuple(before.shape)} to {tuple(after.shape)}"


def _without_unused(weights: Weights, module: TimmFeatures, name: str) -> Weights:
    """Without the tensors of the whole classifier network that the cut one doesn't have."""
    with torch.device("meta"):
        whole = timm.create_model(name).state_dict().keys()
    own = module.network.state_dict().keys()
    classifier = module.network.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ((classifier,) if isinstance(classifier, str) else classifier))
    unused = [key for key in weights.tensors if key in whole and key not in own]
    head = [key for key in unused if heads and key.startswith(heads)]
    rest = [key for key in unused if key not in head]
    named = {"classifier head": head, "not used by the feature maps": rest}
    tensors = {key: tensor for key, tensor in weights.tensors.items() if key not in set(unused)}
    return replace(weights, tensors=tensors, dropped={**weights.dropped, **{reason: tuple(sorted(keys)) for reason, keys in named.items() if keys}})


def _with_bands(weights: Weights, module: TimmFeatures) -> Weights:
    """With the first convolutions adapted to the number of bands, where they differ."""
    first = module.network.pretrained_cfg.get("first_conv") or ()
    wanted = module.network.state_dict()
    for name in (first,) if isinstance(first, str) else first:
        key = f"{name}.weight"
        if key in wanted and key in weights.tensors and weights.tensors[key].shape[1] == 3:
            bands = wanted[key].shape[1]
            weights = weights.with_shape(key, wanted[key].shape, f"3 bands to {bands} by timm", partial(adapt_input_conv, bands))
    return weights
