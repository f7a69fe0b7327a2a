"""Checkpoints in PANGAEA's layout, filled by the fixture's rule, and its decoders written out from the recorded facts.

The decoders here take tensors under the reference's own names, biases in front of a batch norm included, and share no code with ours.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tests.zoo_reference import DATA, Case, _names, _parsed, filled_tensors, hashed, reference_tensors

Shapes = Mapping[str, tuple[tuple[int, ...], str, bool]]


def decoder_tensors(model: str) -> Shapes:
    """Name to (shape, dtype, is a buffer) of a reference decoder's tensors, without the encoder."""
    recorded = json.loads((DATA / "decoders.json").read_text())
    entry = recorded[model] if isinstance(recorded[model], dict) else recorded[recorded[model]]
    return {name: _parsed(text) for pattern, text in entry.items() for name in _names(pattern)}


def model_tensors(case: Case) -> dict[str, Tensor]:
    """All tensors of the reference's model of two classes under its names; those that no feature depends on take the space of one number."""
    encoder = _completed(filled_tensors(case.reference, unused=case.unused), reference_tensors(case.reference))
    shapes = decoder_tensors(case.reference)
    decoder = _completed({name: hashed(name, shape) for name, (shape, dtype, _) in shapes.items() if dtype == "float32"}, shapes)
    return {f"encoder.{name}": tensor for name, tensor in encoder.items()} | decoder


def _completed(filled: Mapping[str, Tensor], shapes: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: filled[name] if name in filled else constant(shape, dtype) for name, (shape, dtype, _) in shapes.items()}


def blank(model: str) -> dict[str, Tensor]:
    """All tensors of the reference's model, each of one number: a small file of the right names and shapes."""
    found = {f"encoder.{name}": shape for name, shape in reference_tensors(model).items()} | dict(decoder_tensors(model))
    return {name: constant(shape, dtype, value=index % 7 + 1) for index, (name, (shape, dtype, _)) in enumerate(found.items())}


def constant(shape: tuple[int, ...], dtype: str = "float32", value: float = 0) -> Tensor:
    """One number seen as a tensor of this shape."""
    return torch.tensor(value, dtype=getattr(torch, dtype)).expand(shape)


class Unset(TorchFunctionMode):
    """What would be drawn at random is NaN: faster, and a tensor that is not loaded spoils the logits."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if getattr(func, "__name__", "") not in ("uniform_", "normal_", "erfinv_"):
            return func(*args, **given)
        with torch.no_grad():
            return (args[0] if args else given["tensor"]).fill_(math.nan)


@torch.enable_grad()
def saved(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """The file that a training writes: the model beside the states of an optimizer, a schedule and a scaler after a step."""
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [48, 72], gamma=0.1)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    schedule.step()
    states = {"optimizer": optimizer.state_dict(), "lr_scheduler": schedule.state_dict(), "scaler": torch.amp.GradScaler("cpu").state_dict()}
    torch.serialization.set_crc32_options(False)  # checksums of a gigabyte take seconds
    try:
        torch.save({"model": dict(tensors), **states, "epoch": 80}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    return path


def upernet(tensors: Mapping[str, Tensor], maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """SegUPerNet in eval mode: Feature2Pyramid, pyramid pooling, top-down path, fused levels, classifier, bilinear to `size`."""
    block, resize = functools.partial(_block, tensors), functools.partial(F.interpolate, mode="bilinear", align_corners=False)
    maps = [_rescaled(tensors, index, len(maps), one) for index, one in enumerate(maps)]
    last = maps[-1]
    pooled = [
        resize(block(f"psp_modules.{index}.1", f"psp_modules.{index}.2", F.adaptive_avg_pool2d(last, scale)), last.shape[2:])
        for index, scale in enumerate((1, 2, 3, 6))
    ]
    levels = [block(f"lateral_convs.{index}.0", f"lateral_convs.{index}.1", one) for index, one in enumerate(maps[:-1])]
    levels.append(block("bottleneck.0", "bottleneck.1", torch.cat([last, *pooled], 1)))
    for index in reversed(range(len(levels) - 1)):
        levels[index] = levels[index] + resize(levels[index + 1], levels[index].shape[2:])
    outs = [block(f"fpn_convs.{index}.0", f"fpn_convs.{index}.1", one) for index, one in enumerate(levels[:-1])] + [levels[-1]]
    fused = block("fpn_bottleneck.0", "fpn_bottleneck.1", torch.cat([resize(one, outs[0].shape[2:]) for one in outs], 1))
    return resize(F.conv2d(fused, tensors["conv_seg.weight"], tensors["conv_seg.bias"]), size)


def _rescaled(tensors: Mapping[str, Tensor], index: int, count: int, feature: Tensor) -> Tensor:
    """One level of Feature2Pyramid; an encoder that has a pyramid has no such tensors."""
    if not any(name.startswith("neck.") for name in tensors):
        return feature
    scale, prefix = (4, 2, 1, 0.5)[int(index / count * 4)], f"neck.ops.{index}"
    if scale == 0.5:
        return F.max_pool2d(feature, 2)
    if scale == 1:
        return feature
    doubled = F.conv_transpose2d(feature, tensors[f"{prefix}.0.weight"], tensors[f"{prefix}.0.bias"], stride=2)
    if scale == 2:
        return doubled
    return F.conv_transpose2d(F.gelu(_normed(tensors, f"{prefix}.1", doubled)), tensors[f"{prefix}.3.weight"], tensors[f"{prefix}.3.bias"], stride=2)


def unet(tensors: Mapping[str, Tensor], maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """PANGAEA's U-Net decoder in eval mode, of maps from fine to coarse; it ignores `size`, that of the finest map."""
    value = maps[-1]
    for level in (4, 3, 2, 1):
        prefix = f"decoder.up_seq.up{level}"
        value = F.conv_transpose2d(value, tensors[f"{prefix}.up.weight"], tensors[f"{prefix}.up.bias"], stride=2)
        value = torch.cat([maps[level - 1], value], 1)
        for conv in (0, 3):
            value = _block(tensors, f"{prefix}.conv.conv.{conv}", f"{prefix}.conv.conv.{conv + 1}", value)
    return F.conv2d(value, tensors["conv_seg.conv.weight"], tensors["conv_seg.conv.bias"])


def _block(tensors: Mapping[str, Tensor], conv: str, norm: str, feature: Tensor) -> Tensor:
    """Convolution with bias, batch norm with its running statistics, ReLU."""
    weight = tensors[f"{conv}.weight"]
    return F.relu(_normed(tensors, norm, F.conv2d(feature, weight, tensors[f"{conv}.bias"], padding=weight.shape[-1] // 2)))


def _normed(tensors: Mapping[str, Tensor], norm: str, feature: Tensor) -> Tensor:
    mean, variance, weight, bias = (tensors[f"{norm}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(feature, mean, variance, weight, bias, eps=1e-5)
