"""`harness profile`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from harness.cli.layers import layer_facts, layer_lines
from harness.cli.output import next_command, progress, remark, result
from harness.cli.profile_options import changed, knees, opened_bundle

RECORDS = Path("bench_results/records")
#: Exit code where every cell failed: the records say why.
NOTHING_MEASURED = 4


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness profile runs/unet+unet--synthetic--scratch--seed0 --backends torch_eager,onnxruntime")
    def profile(
        subject: Path = typer.Argument(
            help="A checkpoint folder (with the artifacts under it), an artifact folder, a bundle (.zip), or any .onnx or .pt2 file."
        ),
        profile: str = typer.Option("cpu-default", "--profile", help="A profile's YAML file, or the name of a shipped one."),
        backends: str | None = typer.Option(None, "--backends", help="Comma-separated; default: all that can run the subject here."),
        data: str | None = typer.Option(None, "--data", help="Data set to score on (default: the one it was trained on)."),
        shape: list[str] = typer.Option([], "--shape", help="Of a file's input, where it leaves sides open: image=1x3x224x224. Repeat for more inputs."),
        layout: str | None = typer.Option(None, "--layout", help="Of a file's image input: NCHW or NHWC (default: seen from its shape)."),
        mean: str | None = typer.Option(None, "--mean", help="Subtracted from a file's input, where its graph doesn't: one number, or one per band."),
        std: str | None = typer.Option(None, "--std", help="Divides a file's input after --mean: one number, or one per band."),
        root: Path | None = typer.Option(None, "--root", help="Folder of all data sets."),
        out: Path = typer.Option(RECORDS, "--out", help="Folder of records."),
        batches: str | None = typer.Option(None, "--batches", help="1,2,4,8: a record per batch, until memory or the throughput's growth ends."),
        probes: str | None = typer.Option(None, "--probes", help="Comma-separated, instead of the profile's: see `harness list probes`."),
        layers: bool = typer.Option(False, "--layers", help="Look into each cell by layer, in a run of its own; written beside the record."),
        reuse: bool = typer.Option(False, "--reuse", help="Keep records of the same cell, profile and machine; measure only what is missing."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Measure latency, memory, FLOPs, size, accuracy and parity of an artifact, each runtime in its own process."""
        from harness.core.deployment import read_profile
        from harness.core.errors import ConfigError
        from harness.core.measurement import Measurement
        from harness.profiling.plan import plan_cells
        from harness.results.verdict_lines import verdict_lines
        from harness.stages import foreign_subject, profile_cells

        settings = changed(read_profile(profile), batches=batches, probes=probes)
        foreign = None
        if subject.suffix in {".onnx", ".pt2"} and not subject.is_dir():
            foreign, settings = foreign_subject(subject, settings, data=data, shape=shape, layout=layout, mean=mean, std=std)
        elif shape or layout or mean or std:
            raise ConfigError("--shape, --layout, --mean and --std are for a model's file; a folder says them itself", f"harness profile {subject}")
        written = []
        with opened_bundle(subject, data, root) as bundle, progress("profile") as report:
            plans, left_out = plan_cells(bundle or subject, settings, backends.split(",") if backends is not None else None, foreign)
            for reason in left_out:
                remark(f"left out: {reason}")
            command = shlex.join(["harness", *sys.argv[1:]])
            cells = profile_cells(plans, settings, out=out, data=data, root=root, reuse=reuse, layers=layers, bundle=bundle, command=command, progress=report)
            for path, record, is_new in cells:
                written.append((path, record, is_new))
        lines = [line for path, record, is_new in written for line in _lines(path, record, is_new)]
        rows = [{"path": path, "new": is_new, **record.model_dump(mode="json")} for path, record, is_new in written]
        if layers:
            for row, (path, _, _) in zip(rows, written, strict=True):
                lines += layer_lines(path)
                row["layers"] = layer_facts(path)
        for label, knee in knees([record for _, record, _ in written] if settings.input.batches else []).items():
            lines.append(f"{label}: {knee}")
        lines += verdict_lines(record for _, record, _ in written)
        result(rows, json, lines)
        next_command("harness table", records=out)
        if not any(isinstance(outcome, Measurement) for _, record, _ in written for outcome in record.outcomes):
            raise typer.Exit(NOTHING_MEASURED)


def _lines(path, record, is_new: bool) -> list[str]:  # type: ignore[no-untyped-def]
    from harness.core.measurement import Missing

    lines = [f"{path}{'' if is_new else '  (kept)'}"]
    failed = {outcome.reason for outcome in record.outcomes if isinstance(outcome, Missing) and outcome.why == "failed"}
    lines += [f"  failed: {reason}" for reason in sorted(failed)]
    return lines + [f"  {warning.kind}: {warning.message}; {warning.advice}" for warning in record.warnings]
