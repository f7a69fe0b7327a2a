"""Checks one model in processes of its own: export and parity, then TensorRT plan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.support.clock import wall_clock
from tests import tensorrt_offline
from tests.zoo_check.models import Model

#: Seconds after which a process is ended; a large model on a busy machine takes minutes.
LIMIT = 2400
WORKSPACE = 8_000_000_000
GRAPH = Path("onnx") / "model.onnx"


def checked(model: Model, folder: Path) -> dict[str, Any]:
    """What came of a model: `export` and `plan`. Its files go to `folder`, which is empty."""
    export = _answer(["-m", "tests.zoo_check.export", model.name, str(folder)], {})
    export = {"ok": False, "reason": export["failed"]} if "failed" in export else export
    plan = planned(folder / GRAPH, folder / "model.plan") if (folder / GRAPH).is_file() else {"status": "skipped", "reason": "there is no graph"}
    return {"export": export, "plan": plan}


def planned(graph: Path, plan: Path) -> dict[str, Any]:
    """`status` of a plan: "built", "parsed" (not built), "failed" (not parsed) or "skipped" (no TensorRT here), with the `reason`."""
    try:
        root = tensorrt_offline.import_root()
    except tensorrt_offline.UnavailableError as error:
        return {"status": "skipped", "reason": str(error)}
    start = wall_clock()
    found = _answer([str(tensorrt_offline.HERE / "plan.py"), str(graph), str(plan), str(WORKSPACE)], {"PYTHONPATH": str(root)})
    if "failed" in found:
        return {"status": "failed", "reason": found["failed"], "seconds": wall_clock() - start}
    status = "built" if found["built"] else "parsed" if found["parsed"] else "failed"
    kept = {key: found[key] for key in ("reason", "layers", "inputs", "plan_bytes") if key in found}
    return {"status": status, **kept, "seconds": wall_clock() - start}


def _answer(arguments: Sequence[str], settings: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object in the last line that a Python process prints; `failed` says why there is none."""
    try:
        done = subprocess.run([sys.executable, *arguments], env={**os.environ, **settings}, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {LIMIT} s"}
    if done.returncode < 0:
        return {"failed": f"ended by {signal.Signals(-done.returncode).name}"}
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode or not lines:
        return {"failed": lines[-1] if lines else f"exit code {done.returncode} without a word"}
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
