"""The nodes of an ONNX graph in a few groups, each of which a mixed precision keeps or lowers as a whole."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.specs import TensorSpec
from harness.support.graph_flops import flops_by_node
from harness.support.onnx_layers import module_paths

#: Every group costs a conversion and a run over the val tiles, or two.
MOST, FEWEST = 24, 4


@dataclass(frozen=True)
class Group:
    """Nodes by name, and their FLOP for one input of batch 1."""

    name: str
    nodes: tuple[str, ...]
    flops: int


def groups_of(path: Path, inputs: Sequence[TensorSpec], names: Collection[str], *, most: int = MOST) -> list[Group]:
    """The nodes `names`, which are in the order of the graph, in at most `most` groups.

    Each node is a group where that is few enough. Otherwise nodes of one module of the network are, of the smallest modules of which
    there are few enough; and where modules would be too few, or the graph tells none, runs of neighbors are.
    """
    counted = {node.name: flops for node, flops in flops_by_node(path, inputs)}
    parts = {name: [name] for name in names} if len(names) <= most else _modules(path, names, most) or _runs(list(names), most)
    return [Group(name, tuple(nodes), sum(counted.get(node, 0) for node in nodes)) for name, nodes in parts.items()]


def _modules(path: Path, names: Iterable[str], most: int) -> dict[str, list[str]]:
    paths = module_paths(path)
    for depth in range(max((known.count(".") for known in paths.values()), default=-1) + 1, 0, -1):
        parts: dict[str, list[str]] = {}
        for name in names:
            parts.setdefault(".".join(paths.get(name, "graph").split(".")[:depth]), []).append(name)
        if len(parts) <= most:
            return parts if len(parts) >= FEWEST else {}
    return {}


def _runs(names: list[str], most: int) -> dict[str, list[str]]:
    length = math.ceil(len(names) / most)
    return {f"{names[start]} to {names[start : start + length][-1]}": names[start : start + length] for start in range(0, len(names), length)}
