"""Which ONNX nodes a runtime's file was made of: their modules and FLOP, for runtimes that name ONNX nodes in what they tell of their layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from harness.core.artifact import Artifact, artifacts_in, read_subject
from harness.core.errors import HarnessError
from harness.support.graph_flops import flops_by_node
from harness.support.onnx_layers import module_paths


@dataclass(frozen=True)
class Origin:
    """By the name of an ONNX node: the module it came from, and its FLOP at batch 1, 0 where it computes none. Empty where no graph is found."""

    paths: dict[str, str] = field(default_factory=dict)
    flops: dict[str, int] = field(default_factory=dict)

    def path_of(self, names: Iterable[str]) -> str:
        """The module of the node with the most FLOP, of equals the first; "" where none is known."""
        known = [name for name in names if name in self.paths]
        return self.paths[max(known, key=lambda name: self.flops.get(name, 0))] if known else ""

    def flops_of(self, names: Iterable[str], batch: int) -> int | None:
        """FLOP of the nodes together; None where one is not known."""
        counts = [self.flops.get(name) for name in names]
        return None if not counts or None in counts else batch * sum(count or 0 for count in counts)


def origin_of(folder: Path, artifact: Artifact) -> Origin:
    """Of the ONNX graph that the artifact is, or that it was made from: it lies in a folder beside it, where all its formats are kept."""
    found = (folder / artifact.file, artifact) if artifact.format == "onnx" else _beside(folder, str(artifact.options.get("source_sha256") or ""))
    if found is None:
        return Origin()
    path, source = found
    try:
        computing = flops_by_node(path, source.inputs)
    except HarnessError:  # an operator without a rule, or an open shape: then no FLOP are known
        return Origin(module_paths(path))
    names = [node.name for node in onnx.load(str(path), load_external_data=False).graph.node]
    return Origin(module_paths(path), {**dict.fromkeys(names, 0), **{node.name: count for node, count in computing}})


def _beside(folder: Path, sha256: str) -> tuple[Path, Artifact] | None:
    """The ONNX file with that hash among the artifacts next to this one."""
    for other in artifacts_in(folder.parent) if sha256 else ():
        with contextlib.suppress(HarnessError):
            artifact = read_subject(other)
            if artifact.format == "onnx" and artifact.sha256 == sha256:
                return other / artifact.file, artifact
    return None
