"""Floating-point operations of a network, counted while it runs on the meta device: no weights, no compute.

Counts convolutions and matrix products, attention included, with 2 FLOP per multiply-add; element-wise work is not counted.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from harness.core.artifact import read_checkpoint
from harness.core.errors import MeasurementError
from harness.support.aten_flops import RULES, export_network, flops_of_program
from harness.support.aten_names import is_not_compute, name_of
from harness.support.flop_counter import counted
from harness.support.fvcore_flops import fvcore_macs
from harness.support.model import SegmentationModel, build_model

#: Products with a vector, and which argument is the matrix (or the other vector): one multiply-add for each of its entries.
MATRIX_OF = {"mv": 0, "addmv": 1, "dot": 0, "vdot": 0}


def count_flops(module: Callable[..., Any], *inputs: Any, **named: Any) -> int:
    """FLOP of one call of `module` on `inputs`, by PyTorch's counter and of the few products that it takes for 0; all may be on the meta device.

    Raises MeasurementError when the installed torch miscounts attention, and for operators that may be compute but have no rule.
    """
    self_check()
    watch = _Watch()
    with watch:
        total = int(counted(functools.partial(module, **named), *inputs).get_total_flops())
    if watch.unknown:
        hint = "count the module's other parts by themselves, or replace the operator"
        raise MeasurementError(f"no FLOP rule for operators {', '.join(sorted(watch.unknown))} in {type(module).__name__}", hint)
    return total + watch.flops


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator that PyTorch's counter runs: adds up what that one takes for 0 though it is a product, and names the unknown."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.unknown: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = name_of(func)
        if name in MATRIX_OF:
            self.flops += 2 * args[MATRIX_OF[name]].numel()
        elif getattr(func, "overloadpacket", None) not in flop_registry and not is_not_compute(func):
            self.unknown.add(name)
        return func(*args, **(kwargs or {}))


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
    """FLOP of one input of `size` px: of the whole network ("forward"), of its encoder alone, and of the whole by the counters that read its graph.

    "fvcore" is fvcore's count of the same operators, with what it drops put back; "aten" is ours. One that can't read the network is left out.
    """
    network = network.to("meta").eval()
    image = torch.empty(1, bands, size, size, device="meta")
    side = network.padded_side(size)
    return {
        "forward": count_flops(network, image),
        "encoder": count_flops(network.encoder, torch.empty(1, len(network.band_plan.bands), side, side, device="meta")),
        **_by_graph(network, image),
    }


def _by_graph(network: SegmentationModel, image: torch.Tensor) -> dict[str, int]:
    found: dict[str, int] = {}
    with contextlib.suppress(MeasurementError):
        program = export_network(network.requires_grad_(False), image)
        found["aten"] = sum(flops_of_program(program).values())
        with contextlib.suppress(MeasurementError, ModuleNotFoundError):
            found["fvcore"] = 2 * sum(macs for name, macs in fvcore_macs(program).items() if name in RULES)
    return found


def flops_if_known(network: SegmentationModel, bands: int, size: int) -> dict[str, int]:
    """As `flops_of_model`, and nothing where an operator has no rule: an export works without."""
    try:
        return flops_of_model(network, bands, size)
    except MeasurementError:
        return {}


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
