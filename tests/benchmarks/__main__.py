"""`python -m tests.benchmarks`: run all benchmarks, or those named, and write bench_results/benchmarks/*.json."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from harness.core.files import write_atomic
from harness.profiling.environment import environment
from harness.support.clock import utc_now
from tests.benchmarks import accuracy, coverage, evaluation, flops, gate, light, memory, overhead, patience, scene

OUT = Path("bench_results/benchmarks")
BENCHMARKS = {
    "accuracy": accuracy.measure,
    "coverage": coverage.measure,
    "memory": memory.measure,
    "scene": scene.measure,
    "evaluation": evaluation.measure,
    "flops": flops.measure,
    "gate": gate.measure,
    "overhead": overhead.measure,
    "patience": patience.measure,
    "light": light.measure,
}


def main() -> None:
    here = environment(1).model_dump(mode="json", exclude={"load"})
    chosen = sys.argv[1:] or list(BENCHMARKS)
    for name in chosen:
        print(f"{name} ...", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            found = BENCHMARKS[name](Path(folder))
        print(write_atomic(OUT / f"{name}.json", json.dumps({"created": utc_now(), "environment": here, **found}, indent=1) + "\n"))


if __name__ == "__main__":
    main()
