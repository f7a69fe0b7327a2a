"""Where a patch lies: fixed positional embeddings, and published ones brought to another input size."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from harness.support.weights import Weights

INTERPOLATED = "interpolated to the input size"


def sincos_2d(dim: int, side: int, *, prefix: int = 1) -> Tensor:
    """Fixed positional embedding (1, prefix + side * side, dim) of masked autoencoders; zeros for the prefix tokens.

    A quarter of the channels each: sine and cosine of the column, sine and cosine of the row, times 10000 ** -(k / (dim / 4))
    (He et al. 2022, Masked Autoencoders Are Scalable Vision Learners).
    """
    frequency = 10000.0 ** -(torch.arange(dim // 4, dtype=torch.float64, device="cpu") / (dim / 4))
    angle = torch.arange(side, dtype=torch.float64, device="cpu")[:, None] * frequency
    wave = torch.cat([angle.sin(), angle.cos()], dim=1)
    grid = torch.cat([wave.repeat(side, 1), wave.repeat_interleave(side, 0)], dim=1)
    return torch.cat([torch.zeros(prefix, dim, dtype=torch.float64, device="cpu"), grid]).float()[None]


def fix_positions(network: Any, side: int) -> None:
    """Give a timm-like network the fixed positional embedding of masked autoencoders, not trained, for `side` patches a side."""
    values = sincos_2d(network.embed_dim, side).to(network.cls_token.device)
    network.pos_embed = nn.Parameter(values, requires_grad=False)


def with_positions(weights: Weights, name: str, module: nn.Module) -> Weights:
    """Weights whose positional embedding `name` (1 + n * n, C), or with a leading 1, is interpolated to the module's size.

    Unchanged where the sizes agree, and where it is no embedding of a class token and a square: `loaded_into` says so then.
    """
    from timm.layers.pos_embed import resample_abs_pos_embed

    wanted = tuple(module.get_parameter(name).shape)

    def resampled(old: Tensor) -> Tensor:
        batched = old.reshape(1, *old.shape[-2:])
        side = math.isqrt(wanted[-2] - 1)
        new: Tensor = resample_abs_pos_embed(batched, new_size=[side, side], num_prefix_tokens=1)
        return new.reshape(wanted)

    if not _is_embedding(weights.tensors.get(name), wanted):
        return weights
    return weights.with_shape(name, wanted, INTERPOLATED, resampled)


def with_bias_table(weights: Weights, name: str, module: nn.Module, *, extra: int) -> Weights:
    """Weights whose table of biases by relative position ((2 w - 1) ** 2 + extra, heads) is interpolated to the module's window w.

    The `extra` rows are those of a class token. Unchanged where it is no such table: `loaded_into` says so then.
    """
    from timm.layers.pos_embed_rel import resize_rel_pos_bias_table

    wanted = tuple(module.get_parameter(name).shape)
    window = (math.isqrt(wanted[0] - extra) + 1) // 2
    if not _is_table(weights.tensors.get(name), wanted, extra):
        return weights
    return weights.with_shape(name, wanted, INTERPOLATED, lambda old: resize_rel_pos_bias_table(old, (window, window), wanted))


def _is_embedding(given: Tensor | None, wanted: tuple[int, ...]) -> bool:
    if given is None or given.ndim != len(wanted) or given.shape[-1] != wanted[-1] or given.shape[:-2] != wanted[:-2]:
        return False
    return given.shape[-2] > 1 and math.isqrt(given.shape[-2] - 1) ** 2 == given.shape[-2] - 1


def _is_table(given: Tensor | None, wanted: tuple[int, ...], extra: int) -> bool:
    if given is None or given.ndim != 2 or given.shape[1] != wanted[1] or given.shape[0] <= extra:
        return False
    return math.isqrt(given.shape[0] - extra) ** 2 == given.shape[0] - extra
