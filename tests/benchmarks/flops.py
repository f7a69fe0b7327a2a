"""FLOPs against a count by hand: the 16 models of Cryo-Bench and 100 timm models, one or two of every family, on the meta device.

Three counts that share no code: PyTorch's flop counter (what `harness` quotes), our rules over the exported program, and `ByHand`, which
reads shapes off the calls of `torch` functions. A model that a counter refuses is listed with the reason, never left out.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from harness.core.errors import HarnessError, MeasurementError
from harness.core.registry import ENCODERS
from harness.support.aten_flops import export_network, flops_of_program
from harness.support.cryo_bench import published
from harness.support.model import build_model
from harness.support.module_flops import flops_of_module
from harness.support.named_bands import default_bands

TIMM_MODELS = 100
CONVOLUTIONS = {torch.conv1d, torch.conv2d, torch.conv3d}
TRANSPOSED = {torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d}
PRODUCTS = {torch.matmul, torch.bmm, torch.mm, torch.baddbmm, torch.addmm, Tensor.matmul, Tensor.__matmul__, Tensor.bmm, Tensor.mm}
REFUSALS = (HarnessError, RuntimeError, TypeError, ValueError)


class ByHand(TorchFunctionMode):
    """Multiply-adds from the textbook, of convolutions, linear layers, matrix products, contractions and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if function is functional.multi_head_attention_forward:
            self.macs += _multi_head(*args, **given)
            with torch._C.DisableTorchFunction():
                return function(*args, **given)
        out = function(*args, **given)
        self.macs += _macs(function, args, given, out)
        return out


def _macs(function: Any, args: Any, given: dict[str, Any], out: Any) -> int:
    if function in CONVOLUTIONS:
        weight = args[1] if len(args) > 1 else given["weight"]
        return out.numel() * math.prod(weight.shape[1:])  # every output value sums over the group's channels and the kernel
    if function in TRANSPOSED:
        return args[0].numel() * math.prod(args[1].shape[1:])  # every input value goes to all outputs of its group
    if function is functional.linear:
        return out.numel() * args[0].shape[-1]
    if function in PRODUCTS:
        return out.numel() * (args[1] if function in (torch.addmm, torch.baddbmm) else args[0]).shape[-1]
    if function is torch.einsum:
        return _contraction(args)
    if getattr(function, "__name__", "") == "lstm":
        tokens = math.prod(args[0].shape[:-1])
        return tokens * sum(weight.numel() for weight in args[2] if weight.dim() == 2)  # every gate's matrices, once a token
    if function is functional.scaled_dot_product_attention:
        query, key, value = args[:3] if len(args) > 2 else (given["query"], given["key"], given["value"])
        pairs = math.prod(query.shape[:-1]) * key.shape[-2]
        return pairs * (query.shape[-1] + value.shape[-1])
    return 0


def _contraction(args: Any) -> int:
    """An einsum of two operands: one multiply-add for every combination of all indices; none where nothing is summed."""
    equation, operands = args[0].replace(" ", ""), args[1:] if isinstance(args[1], Tensor) else args[1]
    summed = set(equation.partition("->")[0]) - set(equation.partition("->")[2]) - {","}
    if len(operands) != 2 or not summed:
        return 0
    sides = {}
    for letters, operand in zip(equation.partition("->")[0].split(","), operands, strict=True):
        if "." in letters:
            raise MeasurementError(f"einsum with an ellipsis: {equation}")
        sides |= dict(zip(letters, operand.shape, strict=True))
    return math.prod(sides.values())


def _multi_head(query: Tensor, key: Tensor, value: Tensor, width: int, *rest: Any, **given: Any) -> int:
    """Projections of query, key, value and output, and two products per pair of tokens: (L, N, E) and (S, N, E)."""
    tokens, others = math.prod(query.shape[:-1]), math.prod(key.shape[:-1])
    return 2 * tokens * width * width + 2 * others * width * width + 2 * tokens * key.shape[0] * width


def measure(folder: Path) -> dict[str, Any]:
    """Rows of all models, and the largest relative difference to the count by hand."""
    rows = [_row("cryo-bench", name, _of_the_paper) for name in published()]
    rows += [_row("timm", name, _of_timm) for name in timm_names()]
    compared = [row for row in rows if "difference" in row]
    return {
        "models": len(rows),
        "compared": len(compared),
        "exact": sum(row["difference"] == 0 for row in compared),
        "largest_relative_difference": max(row["difference"] for row in compared),
        "graph_compared": sum("graph_difference" in row for row in rows),
        "graph_exact": sum(row.get("graph_difference") == 0 for row in rows),
        "largest_graph_difference": max(row.get("graph_difference", 0) for row in rows),
        "rows": rows,
    }


def timm_names() -> list[str]:
    """The first names of every family in turn, until there are 100."""
    families = [[name for name in timm.list_models(module=module) if not name.startswith("test_")] for module in sorted(timm.list_modules())]
    turns = itertools.zip_longest(*families)
    return [name for turn in turns for name in turn if name][:TIMM_MODELS]


def _row(source: str, name: str, build: Any) -> dict[str, Any]:
    try:
        with torch.device("meta"):
            network, shape = build(name)
        image = torch.empty(shape, device="meta")
        with torch.no_grad(), ByHand() as hand:
            network(image)
        counted = flops_of_module(network, shape)
    except REFUSALS as error:
        return {"source": source, "model": name, "refused": str(error).partition("\n")[0][:200]}
    row = {"source": source, "model": name, "input": list(shape), "by_hand": 2 * hand.macs, "counted": counted}
    row["difference"] = abs(counted - 2 * hand.macs) / (2 * hand.macs)
    try:
        row["graph"] = sum(flops_of_program(export_network(network, image)).values())
    except REFUSALS as error:
        return {**row, "graph_refused": str(error).partition("\n")[0][:200]}
    return {**row, "graph_difference": abs(row["graph"] - 2 * hand.macs) / (2 * hand.macs)}


def _of_the_paper(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    spec = ENCODERS.load(name.partition("+")[0])
    bands, size = default_bands(spec, {}), spec.input_size or 512
    return build_model(name, bands=bands, num_classes=2, input_size=size).eval(), (1, len(bands), size, size)


def _of_timm(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    network = timm.create_model(name, pretrained=False).eval()
    return network, (1, *network.default_cfg["input_size"])
