"""Time and FLOP per module of a PyTorch network in eager mode, by hooks around every module.

A module's own time is that of its forward without the modules inside it, so the sum over all is the whole call, functional code included.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from harness.core.layers import Layer
from harness.core.ports import Clock
from harness.support.flop_counter import counted

SOURCE = "forward hooks on every module, own time; on a GPU each waits for the device, which removes overlap"


class _Timer:
    """Seconds of each module's own work, a list per run."""

    def __init__(self, network: nn.Module, clock: Clock, sync: Callable[[], None]) -> None:
        self._clock, self._sync = clock, sync
        self._stack: list[list[float]] = []
        self.seconds: dict[str, float] = {}
        self.bytes: dict[str, int] = {}
        self.handles = []
        for path, module in network.named_modules():
            self.handles.append(module.register_forward_pre_hook(self._enter))
            self.handles.append(module.register_forward_hook(self._leave(path)))

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self._sync()
        self._stack.append([self._clock(), 0.0])

    def _leave(self, path: str) -> Callable[..., None]:
        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            self._sync()
            begin, inside = self._stack.pop()
            whole = self._clock() - begin
            self.seconds[path] = self.seconds.get(path, 0.0) + whole - inside
            self.bytes[path] = _bytes(output)
            if self._stack:
                self._stack[-1][1] += whole

        return leave


def layers(network: nn.Module, inputs: Sequence[torch.Tensor], *, runs: int, clock: Clock, sync: Callable[[], None]) -> tuple[Layer, ...]:
    """One row per module that ran, in the order in which they end."""
    flops = _flops(network, inputs)
    timer, rows = _Timer(network, clock, sync), []
    try:
        with torch.inference_mode():
            for _ in range(runs + 1):
                timer.seconds = {}
                network(*inputs)
                rows.append(timer.seconds)
    finally:
        for handle in timer.handles:
            handle.remove()
    kinds = {path: type(module).__name__ for path, module in network.named_modules()}
    return tuple(
        Layer(
            path=path or "(itself)",
            kind=kinds[path],
            seconds=statistics.median(row[path] for row in rows[1:]),
            flops=flops.get(path, 0),
            output_bytes=timer.bytes[path],
        )
        for path in rows[0]
    )


def _flops(network: nn.Module, inputs: Sequence[torch.Tensor]) -> dict[str, int]:
    """FLOP of each module's own work: the counter's figure without those of the modules inside it."""
    root, by_module = type(network).__name__, counted(network, *inputs).get_flop_counts()
    whole = {name.removeprefix(root).removeprefix("."): sum(by_operator.values()) for name, by_operator in by_module.items() if name != "Global"}
    own = dict(whole)
    for path, count in whole.items():
        parent = next((above for above in _above(path) if above in whole), None)
        if parent is not None:
            own[parent] -= count
    return own


def _above(path: str) -> list[str]:
    """The paths that hold this one, nearest first; the network itself is ""."""
    steps = path.split(".")
    return [".".join(steps[:end]) for end in range(len(steps) - 1, -1, -1)] if path else []


def _bytes(output: Any) -> int:
    if isinstance(output, torch.Tensor):
        return output.numel() * output.element_size()
    values = output.values() if isinstance(output, dict) else output if isinstance(output, (list, tuple)) else ()
    return sum(_bytes(value) for value in values)
