"""Five pairs of the zoo in fp32, fp16, bf16 and static int8, each given to TensorRT's parser and builder.

The graphs are the exporter's fp32 graphs, lowered by the code that the exporter lowers them with; ranges come from two random images,
since a plan that is built says nothing of accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.artifact import read_artifact
from harness.core.registry import EXPORTERS
from harness.support.export_data import Tiles
from harness.support.onnx_bf16 import rounded_runner, to_bf16
from harness.support.onnx_fp16 import largest_values, to_fp16
from harness.support.onnx_int8 import to_int8_static
from harness.support.onnx_run import runner
from tests.zoo_check.check import planned
from tests.zoo_check.models import Model, write_checkpoint

#: A CNN, plain and windowed transformers, a generated stem, and 13 bands.
PAIRS = ("unet+unet", "remoteclip+upernet", "gfm_swin+upernet", "dofa+upernet", "s12_dino+upernet")
PRECISIONS = ("fp32", "fp16", "bf16", "int8-static")
IMAGES = 2


def plans(model: Model, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """What TensorRT said of the model in each precision; its files go to `folder`, which is empty."""
    write_checkpoint(model, folder / "checkpoint")
    exporter, tiles = EXPORTERS.load("onnx"), random_tiles(model)
    for precision in PRECISIONS:
        opset = exporter.settings(precision, {})["opset"]
        source = folder / f"opset-{opset}"
        if not source.exists():
            exporter.export(folder / "checkpoint", precision="fp32", out=source, options={"opset": opset})
        graph = lowered(source / read_artifact(source).file, folder / f"{precision}.onnx", precision, tiles)
        yield precision, planned(graph, folder / "model.plan")


def random_tiles(model: Model) -> Tiles:
    shape = (IMAGES, len(model.bands), model.size, model.size)
    images = np.random.default_rng(0).normal(0.3, 0.2, shape).astype(np.float32)
    return Tiles(images, np.zeros((IMAGES, *shape[2:]), np.int64), tuple(map(str, range(IMAGES))), "")


def lowered(source: Path, target: Path, precision: str, tiles: Tiles) -> Path:
    """The graph in the precision, run once so that a plan is of something that computes; bf16 takes one of opset 22."""
    if precision == "fp32":
        return source
    if precision == "fp16":
        to_fp16(source, target, largest_values(source, tiles))
    elif precision == "bf16":
        to_bf16(source, target)
    else:
        to_int8_static(source, target, tiles, method="minmax", per_channel=True)
    run = rounded_runner(target) if precision == "bf16" else runner(target)
    assert np.isfinite(run(tiles.images)).all()
    return target
