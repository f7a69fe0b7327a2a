"""How many bytes of an artifact's weights belong to its encoder, neck and decoder; what lies in neither is "other".

A runtime may lay weights out anew and keep both copies: what it holds of them in all is `weight_memory`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.layers import part_of


def weights_of_checkpoint(path: Path) -> dict[str, int]:
    """Bytes by part of a safetensors file."""
    from safetensors import safe_open

    with safe_open(path, "np"), path.open("rb") as file:  # the library has checked the header when it opens the file
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    found: Counter[str] = Counter()
    for name, tensor in header.items():
        if name != "__metadata__":
            found[part_of(name)] += tensor["data_offsets"][1] - tensor["data_offsets"][0]
    return dict(sorted(found.items()))


def weights_of_onnx(path: Path) -> dict[str, int]:
    """Bytes by part of an ONNX graph: by a weight's name, else by the module of the first node that it reaches: the exporter renames what it transposes."""
    import onnx

    from harness.support.onnx_layers import module_paths

    graph, paths = onnx.load(str(path), load_external_data=False).graph, module_paths(path)
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found: Counter[str] = Counter()
    for tensor in graph.initializer:
        size = math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        part = part_of(tensor.name)
        found[part if part != "other" else part_of(_reached(tensor.name, readers, paths))] += size
    return dict(sorted(found.items()))


def _reached(name: str, readers: Mapping[str, Sequence[Any]], paths: Mapping[str, str]) -> str:
    """The module of the nearest node that reads the tensor, through nodes of no module, such as those that quantization adds."""
    seen, front = {name}, [name]
    while front:
        nodes = [node for one in front for node in readers.get(one, ())]
        known = next((paths[node.name] for node in nodes if node.name in paths), "")
        if known:
            return known
        front = [output for node in nodes for output in node.output if output not in seen]
        seen.update(front)
    return ""
