"""An export in a process of its own: its memory goes back, and what kills it is a reason. `python -m harness.tuning.exporting ORDER.json`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.core.errors import ExportError, HarnessError
from harness.core.files import read_value, write_value
from harness.core.specs import Value
from harness.profiling.isolate import PARENT, TIMED_OUT, end, end_with_parent, offer_to_the_kernel, reason_of
from harness.stages import export

MODULE = "harness.tuning.exporting"


class Order(Value):
    """What to export, with paths that are absolute."""

    checkpoint: Path
    to: str
    precision: str
    out: Path
    options: dict[str, Any] = {}
    data: str | None = None
    root: Path | None = None


def export_apart(order: Order, work: Path, *, timeout: float) -> None:
    """Make the artifact in `order.out`. Raises ExportError with the export's own words, or how its process ended."""
    work.mkdir(parents=True, exist_ok=True)
    errors = work / "stderr.txt"
    file = write_value(work / "order.json", order)
    with errors.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(file)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, PARENT: str(os.getpid())},
            start_new_session=True,
        )
        offer_to_the_kernel(process.pid)
        try:
            code = process.wait(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"the export {TIMED_OUT} {timeout:.0f} s", "harness export makes it without a limit; then tune again") from error
        finally:
            end(process)
    if code:
        raise ExportError(reason_of(code, errors).removeprefix(f"exit code {code}: "))


def main(argv: list[str]) -> int:
    end_with_parent()
    order = read_value(Path(argv[0]), Order, ExportError)
    try:
        export(order.checkpoint, to=order.to, precision=order.precision, out=order.out, options=order.options, data=order.data, root=order.root)
    except HarnessError as error:
        sys.stderr.write(f"\n{' '.join(error.message.split())}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
