"""Floating-point operations of a network, counted while it runs on the meta device: no weights, no compute.

Counts convolutions and matrix products, attention included, with 2 FLOP per multiply-add; element-wise work is not counted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.core.artifact import read_checkpoint
from harness.core.errors import MeasurementError
from harness.support.flop_counter import counted
from harness.support.model import SegmentationModel, build_model


def count_flops(module: Callable[..., Any], *inputs: Any) -> int:
    """FLOP of one call of `module` on `inputs`; both may be on the meta device.

    Raises MeasurementError when the installed torch miscounts attention.
    """
    self_check()
    return int(counted(module, *inputs).get_total_flops())


@functools.cache
def self_check() -> None:
    """The counter must see attention: one head of S queries and keys of width D is 4 * S * S * D FLOP.

    torch up to 2.13 counts 0 for the fused CPU kernel (pytorch#195460), hence the math kernel in `counted`.
    """
    query = torch.empty(1, 1, 8, 16, device="meta")
    seen = counted(_Attention(), query).get_total_flops()
    if seen != 4 * 8 * 8 * 16:
        raise MeasurementError(f"torch {torch.__version__} counts {seen} FLOP for an attention of {4 * 8 * 8 * 16}", "pip install --upgrade torch")


class _Attention(nn.Module):
    def forward(self, query: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(query, query, query)


def flops_of_model(network: SegmentationModel, bands: int, size: int) -> dict[str, int]:
    """FLOP of one input of `size` px: of the whole network ("forward") and of its encoder alone."""
    network = network.to("meta").eval()
    image = torch.empty(1, bands, size, size, device="meta")
    side = network.padded_side(size)
    return {
        "forward": count_flops(network, image),
        "encoder": count_flops(network.encoder, torch.empty(1, len(network.band_plan.bands), side, side, device="meta")),
    }


def flops_of_checkpoint(folder: Path) -> dict[str, int]:
    """FLOP of a checkpoint's network at its own input size; its weights are not read."""
    checkpoint = read_checkpoint(folder)
    with torch.device("meta"):
        network = build_model(
            checkpoint.model,
            bands=checkpoint.bands,
            num_classes=checkpoint.num_classes,
            input_size=checkpoint.input_size,
            encoder_options=checkpoint.encoder_options,
            decoder_options=checkpoint.decoder_options,
            fill_missing=bool(checkpoint.zero_filled),
        )
    return flops_of_model(network, len(checkpoint.bands), checkpoint.input_size)
