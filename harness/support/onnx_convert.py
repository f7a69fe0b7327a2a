"""A lower precision of an fp32 ONNX graph with what its settings ask for: calibration, and fp32 kept where a limit on mIoU needs it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from harness.core.artifact import Checkpoint
from harness.core.errors import DataError, ParityError
from harness.core.leftovers import marked
from harness.core.specs import TensorSpec
from harness.support.agreement import Reference, Run, agreement
from harness.support.export_data import Context, Tiles
from harness.support.export_settings import NO_LIMIT
from harness.support.mixed_precision import WORST, Score, divergence, search
from harness.support.onnx_bf16 import lowerable, to_bf16
from harness.support.onnx_fp16 import largest_values, to_fp16
from harness.support.onnx_groups import groups_of
from harness.support.onnx_int8 import dynamic_nodes, static_nodes, to_int8_dynamic, to_int8_static

#: Writes the graph with the given nodes in fp32; returns facts for the artifact's options.
_Make = Callable[[Path, Collection[str]], dict[str, Any]]


@dataclass(frozen=True)
class Conversion:
    """What a graph is converted with: its fp32 file and inputs, the runtime that will run it, and the network's logits on val tiles.

    `calibration` gives a number of tiles to calibrate with; `external`: weights go into a file of their own.
    """

    source: Path
    inputs: tuple[TensorSpec, ...]
    checkpoint: Checkpoint
    context: Context
    runner: Callable[[Path], Run]
    reference: Reference
    calibration: Callable[[int], Tiles]
    external: bool = False


def converted(given: Conversion, target: Path, precision: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write the graph in `precision` to `target`; returns how, for the artifact's options.

    Raises ExportError where nothing can be lowered, DataError without the tiles that it needs.
    """
    with tempfile.TemporaryDirectory(prefix=marked("harness-")) as folder:
        make, names, facts = _maker(given, precision, settings, Path(folder) / "ranges.json")
        kept, trade = _kept(given, make, names, settings["max_miou_drop"])
        return {**make(target, kept), **facts, **trade, "val_sha256": given.reference.tiles.sha256}


def _maker(given: Conversion, precision: str, settings: Mapping[str, Any], ranges: Path) -> tuple[_Make, list[str], dict[str, Any]]:
    """What writes the graph, the nodes that it lowers, and facts that no choice of nodes changes."""
    model = onnx.load(str(given.source), load_external_data=False)
    if precision == "fp16":
        largest = largest_values(given.source, given.reference.tiles)
        return functools.partial(_half, given, largest), [node.name for node in model.graph.node if node.name], {}
    if precision == "bf16":
        return functools.partial(_bfloat, given), lowerable(given.source), {"judged_in": "fp32 with every result rounded to bf16"}
    chosen = {name: settings[name] for name in ("per_channel", "weight_bits")}
    if precision == "int8-dynamic":
        return functools.partial(_dynamic, given, chosen), dynamic_nodes(model), {}
    tiles = given.calibration(settings["calibration_tiles"])
    chosen |= {"method": settings["calibration_method"], "activations": settings["activations"]}
    facts = {"calibration_data": given.context.data, "calibration_names": list(tiles.names), "calibration_sha256": tiles.sha256}
    return functools.partial(_static, given, chosen, tiles, ranges), static_nodes(model), facts


def _half(given: Conversion, largest: Mapping[str, float], target: Path, kept: Collection[str]) -> dict[str, Any]:
    return {"kept_fp32": to_fp16(given.source, target, largest, kept=kept, external=given.external)}


def _bfloat(given: Conversion, target: Path, kept: Collection[str]) -> dict[str, Any]:
    return {"kept_fp32": to_bf16(given.source, target, kept=kept, external=given.external)}


def _dynamic(given: Conversion, chosen: Mapping[str, Any], target: Path, kept: Collection[str]) -> dict[str, Any]:
    return {"quantized": to_int8_dynamic(given.source, target, **chosen, kept=kept, external=given.external), "kept_fp32": sorted(kept)}


def _static(given: Conversion, chosen: Mapping[str, Any], tiles: Tiles, ranges: Path, target: Path, kept: Collection[str]) -> dict[str, Any]:
    count = to_int8_static(given.source, target, tiles, **chosen, kept=kept, ranges=ranges, external=given.external)
    return {"quantized": count, "kept_fp32": sorted(kept)}


def _kept(given: Conversion, make: _Make, names: list[str], limit: float) -> tuple[Collection[str], dict[str, Any]]:
    """The nodes that stay in fp32 so that the drop on val tiles is within `limit`, with how they were found."""
    if limit >= NO_LIMIT:
        return (), {}
    groups = groups_of(given.source, given.inputs, names)
    trade = search(groups, functools.partial(_score, given, make), limit, given.context.progress)
    facts = {"measured_on": f"{len(given.reference.logits)} val tiles of {given.context.data}", "max_miou_drop": limit, **trade.facts(groups)}
    return trade.nodes, {"mixed_precision": facts}


def _score(given: Conversion, make: _Make, kept: Collection[str]) -> Score:
    with tempfile.TemporaryDirectory(prefix=marked("harness-")) as folder:
        path = Path(folder) / "model.onnx"
        make(path, kept)
        seen: list[np.ndarray] = []
        try:
            found = agreement(_kept_in(seen, given.runner(path)), given.reference, given.checkpoint)
        except ParityError:  # NaN or infinity, which keeping the right nodes in fp32 may cure
            return Score(NO_LIMIT, WORST)
    if "miou_drop" not in found:
        raise DataError(
            f"no pixel of the val tiles of {given.context.data} has a label, so an mIoU drop can't be held", "--val-tiles 64; or no --max-miou-drop"
        )
    return Score(found["miou_drop"], divergence(np.concatenate(seen), given.reference.logits))


def _kept_in(seen: list[np.ndarray], run: Run) -> Run:
    def recording(images: np.ndarray) -> np.ndarray:
        logits = run(images)
        seen.append(logits)
        return logits

    return recording
