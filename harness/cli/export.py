"""`harness export`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from harness.cli.output import next_command, options_from, progress, remark, result


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness export runs/unet+unet--synthetic--scratch--seed0 --to onnx")
    def export(
        checkpoint: Path,
        to: str = typer.Option("onnx", "--to", help="Target format; see `harness list exporters`."),
        precision: str = typer.Option("fp32", "--precision", help="fp32, fp16, bf16, int8-dynamic or int8-static; see `harness doctor`."),
        opset: int | None = typer.Option(None, "--opset", help="ONNX opset, 20 or later (default 20), for bf16 22 or later (default 22)."),
        calibration_tiles: int | None = typer.Option(None, "--calibration-tiles", help="int8-static: number of training tiles (default 64)."),
        calibration_method: str | None = typer.Option(None, "--calibration-method", help="int8-static: minmax, entropy or percentile (default minmax)."),
        per_channel: bool | None = typer.Option(None, "--per-channel/--per-tensor", help="int8: a scale per output channel of a weight (default), or one."),
        activations: str | None = typer.Option(None, "--activations", help="int8-static: int8 (default; TensorRT takes it too) or uint8 (faster on old CPUs)."),
        weight_bits: int | None = typer.Option(None, "--weight-bits", help="int8: 7 (default; right on every CPU) or 8 (only for GPUs and CPUs with VNNI)."),
        max_miou_drop: float | None = typer.Option(
            None, "--max-miou-drop", min=0, max=1, help="fp16, bf16, int8: keep in fp32 what must be, so that val mIoU drops no more than this (0.005)."
        ),
        data: str | None = typer.Option(None, "--data", help="Data set to calibrate with and judge by (default: the one it was trained on)."),
        root: Path | None = typer.Option(None, "--root", "--data-root", help="Folder of all data sets."),
        val_tiles: int = typer.Option(32, "--val-tiles", min=1, help="Val tiles to judge by."),
        min_agreement: float | None = typer.Option(None, "--min-agreement", min=0, max=1, help="Smallest share of pixels decided like the network."),
        option: list[str] = typer.Option([], "--option", help="A setting of the exporter, NAME=VALUE, for example max_batch=16 for tensorrt. Repeatable."),
        out: Path | None = typer.Option(None, "--out", help="Artifact folder (default: CHECKPOINT/artifacts/FORMAT-PRECISION)."),
        force: bool = typer.Option(False, "--force", help="Export again even if this export exists."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Make a runnable artifact of a checkpoint; it exists only after its logits matched PyTorch's."""
        from harness.stages import export as stage

        given = {
            "opset": opset,
            "calibration_tiles": calibration_tiles,
            "calibration_method": calibration_method,
            "per_channel": per_channel,
            "activations": activations,
            "weight_bits": weight_bits,
            "max_miou_drop": max_miou_drop,
        }
        options = {**options_from(option), **{name: value for name, value in given.items() if value is not None}}
        with progress("export") as report:
            report(0, 1, f"{checkpoint.name} to {to} {precision}")
            folder, artifact, is_new = stage(
                checkpoint,
                to=to,
                precision=precision,
                out=out,
                options=options,
                force=force,
                data=data,
                root=root,
                val_tiles=val_tiles,
                min_agreement=min_agreement,
                progress=report,
            )
        if not is_new:
            remark("this export exists already; --force makes it again")
        facts = f"{artifact.format} {artifact.precision}, {artifact.size / 1e6:.1f} MB{_judgment(artifact.parity)}"
        result(
            {"path": folder, "new": is_new, **artifact.model_dump(mode="json", exclude={"checkpoint"})},
            json,
            [f"{folder}  ({facts})", *_trade(artifact.options)],
        )
        next_command("harness profile", folder if out else checkpoint, root=root)


def _judgment(parity: Mapping[str, float]) -> str:
    """How near the artifact is to the network, in words."""
    said = []
    if "max_relative_error" in parity:
        said.append(f"parity {parity['max_relative_error']:.1e} relative")
    if "argmax_agreement" in parity:
        said.append(f"decides alike on {parity['argmax_agreement']:.2%} of val pixels")
    if "miou_drop" in parity:
        said.append(f"val mIoU {0.0 - 100 * parity['miou_drop']:+.2f} points")
    return "".join(f", {words}" for words in said)


def _trade(options: Mapping[str, Any]) -> list[str]:
    """What a search for a mixed precision tried: mIoU lost against the share of multiply-adds in the lower precision."""
    mixed = options.get("mixed_precision")
    if not mixed:
        return []
    words = {"none": "all in the lower precision", "kept": "and {} in fp32", "returned": "without {} in fp32"}
    lines = [
        f"{-100 * step['miou_drop']:+9.2f} points  {100 * step['lowered_macs']:5.1f} % of MACs lowered  {words[step['action']].format(step['group'])}"
        for step in mixed["steps"]
    ]
    kept = ", ".join(mixed["kept_groups"]) or "nothing"
    return [f"val mIoU may drop {100 * mixed['max_miou_drop']:g} points:", *lines, f"stays in fp32: {kept}"]
