"""`harness profile`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from harness.cli.output import next_command, progress, remark, result

RECORDS = Path("bench_results/records")


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness profile runs/unet+unet--synthetic--scratch--seed0 --backends torch_eager,onnxruntime")
    def profile(
        subject: Path = typer.Argument(help="A checkpoint folder (stands for the artifacts exported under it too) or an artifact folder."),
        profile: str = typer.Option("cpu-default", "--profile", help="A profile's YAML file, or the name of a shipped one."),
        backends: str | None = typer.Option(None, "--backends", help="Comma-separated; default: all that can run the subject here."),
        data: str | None = typer.Option(None, "--data", help="Data set to score on (default: the one it was trained on)."),
        root: Path | None = typer.Option(None, "--root", help="Folder of all data sets."),
        out: Path = typer.Option(RECORDS, "--out", help="Folder of records."),
        reuse: bool = typer.Option(False, "--reuse", help="Keep records of the same cell, profile and machine; measure only what is missing."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Measure latency, memory, FLOPs, size, accuracy and parity of an artifact, each runtime in its own process."""
        from harness.core.deployment import read_profile
        from harness.profiling.plan import plan_cells
        from harness.stages import profile_cells

        settings = read_profile(profile)
        plans, left_out = plan_cells(subject, settings, backends.split(",") if backends else None)
        for reason in left_out:
            remark(f"left out: {reason}")
        written = []
        with progress("profile") as report:
            command = shlex.join(["harness", *sys.argv[1:]])
            for path, record, is_new in profile_cells(plans, settings, out=out, data=data, root=root, reuse=reuse, command=command, progress=report):
                written.append((path, record, is_new))
        lines = [line for path, record, is_new in written for line in _lines(path, record, is_new)]
        result([{"path": path, "new": is_new, **record.model_dump(mode="json")} for path, record, is_new in written], json, lines)
        next_command(f"harness table --records {out}")


def _lines(path, record, is_new: bool) -> list[str]:  # type: ignore[no-untyped-def]
    from harness.core.measurement import Missing

    lines = [f"{path}{'' if is_new else '  (kept)'}"]
    failed = {outcome.reason for outcome in record.outcomes if isinstance(outcome, Missing) and outcome.why == "failed"}
    lines += [f"  failed: {reason}" for reason in sorted(failed)]
    return lines + [f"  {warning.kind}: {warning.message}; {warning.advice}" for warning in record.warnings]
