"""`python -m tests.zoo_check.export MODEL FOLDER`: export one model with fresh weights and compare the logits; prints one JSON object."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.core.artifact import Artifact
from harness.core.errors import HarnessError
from harness.core.registry import EXPORTERS
from harness.support import onnx_run
from harness.support.clock import wall_clock
from harness.support.export_network import CHECKED_BATCHES
from harness.support.model import model_from_checkpoint
from tests.zoo_check.models import Model, write_checkpoint, zoo

TOLERANCE = 1e-4


def exported(model: Model, folder: Path) -> dict[str, Any]:
    """Export into `folder`/onnx and compare with the network of the checkpoint, which is neither folded nor traced."""
    source, out = folder / "checkpoint", folder / "onnx"
    write_checkpoint(model, source)
    start = wall_clock()
    try:
        artifact: Artifact = EXPORTERS.load("onnx").export(source, precision="fp32", out=out, options={})
    except HarnessError as error:
        return {"ok": False, "reason": error.message, "seconds": wall_clock() - start}
    seconds = wall_clock() - start
    return {
        "ok": True,
        "reason": "",
        "seconds": seconds,
        "size": artifact.size,
        "opset": artifact.options["opset"],
        **compared(model, source, out / artifact.file),
    }


def compared(model: Model, source: Path, graph: Path) -> dict[str, Any]:
    """`parity`: largest difference of a logit relative to the largest logit, by batch size. `spread`: how much logits vary over the pixels."""
    run, network = onnx_run.runner(graph), model_from_checkpoint(source)
    parity, spreads = {}, []
    for batch in CHECKED_BATCHES:
        image = np.random.default_rng(100 + batch).normal(0.3, 0.2, (batch, len(model.bands), model.size, model.size)).astype(np.float32)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(image)).numpy()
        largest = float(np.abs(wanted).max())
        parity[str(batch)] = float(np.abs(run(image) - wanted).max()) / largest
        spreads.append(float(wanted.std(axis=(2, 3)).mean()) / largest)
    good = max(parity.values()) <= TOLERANCE
    return {"ok": good, "reason": "" if good else f"differs by more than {TOLERANCE:g}", "parity": parity, "spread": min(spreads)}


def main(name: str, folder: Path) -> None:
    found = exported(zoo()[name], folder)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps({**found, "peak_memory": peak}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
