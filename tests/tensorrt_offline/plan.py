"""`python plan.py GRAPH PLAN WORKSPACE`: parse an ONNX file and build a plan; prints one JSON object. Needs `tensorrt` only, not the harness.

PLAN "-": parse, don't build. The object: `parsed`, `built`, `reason` (why not), `layers`, `inputs`, `plan_bytes`, `tensorrt`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tensorrt as trt

#: Smallest, typical and largest batch of the plan.
BATCHES = (1, 2, 4)


class Collector(trt.ILogger):
    """Keeps errors: the builder gives no other reason."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.errors.append(message.strip())


def answer(graph: str, plan: str, workspace: int) -> dict[str, Any]:
    log = Collector()
    builder = trt.Builder(log)
    network = builder.create_network()
    parser = trt.OnnxParser(network, log)
    found: dict[str, Any] = {"tensorrt": trt.__version__, "parsed": parser.parse_from_file(graph), "built": False, "reason": "", "plan_bytes": 0}
    if not found["parsed"]:
        return found | {"reason": "; ".join(_problem(parser.get_error(index)) for index in range(parser.num_errors)) or _last(log)}
    found |= {"layers": network.num_layers, "inputs": [[network.get_input(0).name, *network.get_input(0).shape]]}
    if plan == "-":
        return found | {"reason": "not asked to build"}
    serialized = builder.build_serialized_network(network, _settings(builder, network, workspace))
    if serialized is None:
        return found | {"reason": _last(log)}
    Path(plan).write_bytes(serialized)
    return found | {"built": True, "plan_bytes": serialized.nbytes}


def _settings(builder: Any, network: Any, workspace: int) -> Any:
    settings = builder.create_builder_config()
    settings.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    settings.clear_flag(trt.BuilderFlag.TF32)
    image = network.get_input(0)
    profile = builder.create_optimization_profile()
    profile.set_shape(image.name, *[(batch, *image.shape[1:]) for batch in BATCHES])
    settings.add_optimization_profile(profile)
    return settings


def _problem(error: Any) -> str:
    return f"{error.node_operator()} {error.node_name()}: {error.desc()}"


def _last(log: Collector) -> str:
    return log.errors[-1] if log.errors else "no reason given"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(sys.argv[1], sys.argv[2], int(sys.argv[3]))) + "\n")
