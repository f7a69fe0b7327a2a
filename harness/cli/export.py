"""`harness export`."""

from __future__ import annotations

from pathlib import Path

import typer

from harness.cli.output import next_command, progress, remark, result


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness export runs/unet+unet--synthetic--scratch--seed0 --to onnx")
    def export(
        checkpoint: Path,
        to: str = typer.Option("onnx", "--to", help="Target format; see `harness list exporters`."),
        precision: str = typer.Option("fp32", "--precision"),
        opset: int | None = typer.Option(None, "--opset", help="ONNX opset, 20 or later (default 20)."),
        out: Path | None = typer.Option(None, "--out", help="Artifact folder (default: CHECKPOINT/artifacts/FORMAT-PRECISION)."),
        force: bool = typer.Option(False, "--force", help="Export again even if this export exists."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Make a runnable artifact of a checkpoint; it exists only after its logits matched PyTorch's."""
        from harness.stages import export as stage

        options = {} if opset is None else {"opset": opset}
        with progress("export") as report:
            report(0, 1, f"{checkpoint.name} to {to} {precision}")
            folder, artifact, is_new = stage(checkpoint, to=to, precision=precision, out=out, options=options, force=force)
        if not is_new:
            remark("this export exists already; --force makes it again")
        parity = artifact.parity.get("max_relative_error")
        facts = f"{artifact.format} {artifact.precision}, {artifact.size / 1e6:.1f} MB" + ("" if parity is None else f", parity {parity:.1e} relative")
        result({"path": folder, "new": is_new, **artifact.model_dump(mode="json", exclude={"checkpoint"})}, json, [f"{folder}  ({facts})"])
        next_command(f"harness profile {checkpoint}")
