"""`python -m tests.benchmarks.runtimes CHECKPOINT ...`: every runtime and precision of trained checkpoints side by side on this CPU.

Rounds go through all cells in turn, so that the machine's drift meets each alike; every cell of every round is a process of its own.
Ratios are medians over rounds of (torch_eager / cell) of the same round. What can't be made or run here is listed with its reason.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.core.artifact import read_checkpoint
from harness.core.deployment import DeploymentProfile, Runtime, Sampling
from harness.core.errors import HarnessError
from harness.core.files import write_atomic
from harness.core.measurement import Measurement
from harness.core.record import ProfileRecord
from harness.core.registry import BACKENDS, EXPORTERS
from harness.profiling.environment import environment
from harness.profiling.plan import plan_cells
from harness.stages import export, profile_cells
from harness.support.clock import utc_now

OUT = Path("bench_results/benchmarks/runtimes.json")
EXPORTS = ("onnx", "openvino", "torch_export")
BACKENDS_HERE = ("torch_eager", "torch_compile", "onnxruntime", "openvino", "torch_export")
QUICK = Sampling(warmup_runs=3, warmup_seconds=0.5, warmup_max_seconds=10, min_runs=10, min_seconds=1, max_seconds=5, target_halfwidth=0.05)


def measure(checkpoint: Path, *, root: Path | None, rounds: int, threads: int, tiles: int) -> dict[str, Any]:
    """Rows per runtime and precision: speed-up and share of memory against torch eager, mIoU drop and agreement over test tiles."""
    refused = _export_all(checkpoint, root)
    every: list[dict[str, ProfileRecord]] = []
    for number in range(rounds):
        probes = ("latency", "memory", "accuracy", "parity") if number == 0 else ("latency", "memory")
        profile = DeploymentProfile(
            schema=1, name="runtimes", purpose="side by side", runtime=Runtime(threads=threads), sampling=QUICK, probes=probes, max_tiles=tiles
        )
        every.append(_round(checkpoint, profile, root))
    rows = [_row(label, every) for label in every[0] if _latency(every[0][label]) is not None]
    refused |= {label: str(record.detail["failed"]) for label, record in every[0].items() if _latency(record) is None}
    return {"model": read_checkpoint(checkpoint).model, "threads": threads, "rounds": rounds, "rows": rows, "refused": refused}


def _export_all(checkpoint: Path, root: Path | None) -> dict[str, str]:
    refused: dict[str, str] = {}
    for to in EXPORTS:
        exporter = EXPORTERS.load(to)
        refused |= {f"export {to} {precision}": reason for precision, reason in exporter.unsupported.items()}
        for precision in exporter.precisions:
            try:
                export(checkpoint, to=to, precision=precision, root=root)
            except HarnessError as error:
                refused[f"export {to} {precision}"] = error.message
    return refused


def _round(checkpoint: Path, profile: DeploymentProfile, root: Path | None) -> dict[str, ProfileRecord]:
    usable = [name for name in BACKENDS_HERE if BACKENDS.load(name).unavailable("cpu") is None]
    plans, _ = plan_cells(checkpoint, profile, usable)
    plans = [plan for plan in plans if (plan.backend, plan.artifact.format) != ("openvino", "onnx")]
    with tempfile.TemporaryDirectory() as out:
        records = [record for _, record, _ in profile_cells(plans, profile, out=Path(out), root=root)]
    return {f"{record.cell.backend} {record.cell.precision}": record for record in records}


def _value(record: ProfileRecord, quantity: str) -> float | None:
    found = next((outcome for outcome in record.outcomes if outcome.quantity == quantity and isinstance(outcome, Measurement)), None)
    return statistics.median(found.samples) if found else None


def _latency(record: ProfileRecord) -> float | None:
    return _value(record, "latency")


def _row(label: str, rounds: list[dict[str, ProfileRecord]]) -> dict[str, Any]:
    def ratios(quantity: str) -> list[float]:
        pairs = [(_value(one["torch_eager fp32"], quantity), _value(one[label], quantity)) for one in rounds]
        return [eager / own for eager, own in pairs if eager and own]

    speed, memory = ratios("latency"), ratios("peak_host_memory")
    first = rounds[0][label]
    return {
        "cell": label,
        "latency_ms": [1e3 * seconds for seconds in (_latency(one[label]) for one in rounds) if seconds],
        "speedup": statistics.median(speed),
        "speedup_of_rounds": speed,
        "memory_share": 1 / statistics.median(memory) if memory else None,
        **{name: _value(first, name) for name in ("first_call", "load_time", "miou", "miou_drop", "argmax_agreement")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiles", type=int, default=16)
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args()
    found = []
    for checkpoint in chosen.checkpoints:
        sys.stderr.write(f"{checkpoint} ...\n")
        found.append(measure(checkpoint, root=chosen.root, rounds=chosen.rounds, threads=chosen.threads, tiles=chosen.tiles))
    answer = {"created": utc_now(), "environment": environment(chosen.threads).model_dump(mode="json"), "models": found}
    write_atomic(chosen.out, json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()
