"""`python -m tests.benchmarks`: run all benchmarks and write bench_results/benchmarks/*.json."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from harness.core.files import write_atomic
from harness.profiling.environment import environment
from harness.support.clock import utc_now
from tests.benchmarks import flops, overhead

OUT = Path("bench_results/benchmarks")


def main() -> None:
    here = environment(1).model_dump(mode="json", exclude={"load"})
    for name, benchmark in (("overhead", overhead.measure), ("flops", flops.measure)):
        print(f"{name} ...", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            found = benchmark(Path(folder))
        print(write_atomic(OUT / f"{name}.json", json.dumps({"created": utc_now(), "environment": here, **found}, indent=1) + "\n"))


if __name__ == "__main__":
    main()
