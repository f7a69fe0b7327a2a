"""`harness train`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from harness.cli.output import next_command, options_from, progress, remark, result

#: In place of a file: the one that the encoder's authors publish.
OFFICIAL = "official"


class Regime(StrEnum):
    FROZEN = "frozen"
    FINETUNE = "finetune"
    SCRATCH = "scratch"


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness train vit+upernet --data bluemarble_ice --regime frozen --weights vit_base.safetensors --epochs 20")
    def train(
        model: str = typer.Argument(help="<encoder>+<decoder>; see `harness list encoders` and `harness list decoders`."),
        data: str = typer.Option(..., "--data", help="Data set; see `harness list datasets`."),
        regime: Regime = typer.Option(Regime.SCRATCH, "--regime", help="frozen: only the decoder learns; finetune: all, from --weights; scratch: all."),
        recipe: str = typer.Option("default", "--recipe", help="Training settings: a shipped recipe's name or a YAML file."),
        epochs: int | None = typer.Option(None, "--epochs", min=1, help="Instead of the recipe's."),
        lr: float | None = typer.Option(None, "--lr", help="Learning rate, instead of the recipe's."),
        batch_size: int | None = typer.Option(None, "--batch-size", min=1, help="Instead of the recipe's."),
        seed: int = typer.Option(0, "--seed"),
        label_fraction: float = typer.Option(1.0, "--label-fraction", min=0.0, max=1.0, help="Share of the training tiles to use, stratified by class."),
        weights: str | None = typer.Option(
            None, "--weights", help="Official weights of the encoder: a file (.safetensors, .pt, .pth, .ckpt), or official: from the cache, else downloaded."
        ),
        input_size: int | None = typer.Option(None, "--input-size", min=1, help="Side in pixels that the encoder is built for (default: the tile's)."),
        encoder_option: list[str] = typer.Option([], "--encoder-option", help="NAME=VALUE, repeatable; `harness list encoders` shows them."),
        decoder_option: list[str] = typer.Option([], "--decoder-option", help="NAME=VALUE, repeatable, for example width=64."),
        fill_missing_bands: bool = typer.Option(False, "--fill-missing-bands", help="Give the encoder zeros for bands that the data lacks; recorded."),
        tile: int | None = typer.Option(None, "--tile", help="Tile size of the data set, where it offers a choice."),
        root: Path | None = typer.Option(None, "--root", help="Folder of all data sets."),
        devices: int = typer.Option(1, "--devices", min=1, help="GPUs to train on; more than one uses Lightning's DDP."),
        out: Path | None = typer.Option(None, "--out", help="Checkpoint folder (default: runs/MODEL--DATA--REGIME--seedN)."),
        force: bool = typer.Option(False, "--force", help="Train again even if this checkpoint exists; it and the artifacts under it are replaced."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Train an encoder-decoder pair. A run that was stopped goes on where it was."""
        from harness.stages import train as stage

        overrides = {name: value for name, value in (("epochs", epochs), ("lr", lr), ("batch_size", batch_size)) if value is not None}
        folder, checkpoint, is_new = stage(
            model,
            data,
            regime.value,
            out=out,
            root=root,
            tile=tile,
            recipe=recipe,
            overrides=overrides,
            seed=seed,
            label_fraction=label_fraction,
            input_size=input_size,
            weights=_weights_file(weights, model, regime, options_from(encoder_option)),
            devices=devices,
            force=force,
            encoder_options=options_from(encoder_option),
            decoder_options=options_from(decoder_option),
            fill_missing=fill_missing_bands,
        )
        if not is_new:
            remark("this checkpoint exists already, trained with the same settings; --force trains it again")
        scores = ", ".join(f"{name} {value:.4g}" for name, value in checkpoint.best.items())
        result({"path": folder, "new": is_new, **checkpoint.model_dump(mode="json")}, json, [f"{folder}  (best on val: {scores})"])
        next_command("harness export", folder, to="onnx", root=root)


def _weights_file(weights: str | None, model: str, regime: Regime, options: Mapping[str, Any]) -> Path | None:
    """The file to start from; with "official" the published one. A training from scratch gets the word: it refuses any weights itself."""
    if weights is None:
        return None
    if weights != OFFICIAL or regime is Regime.SCRATCH:
        return Path(weights)
    from harness.support.model import known_options, specs_of
    from harness.support.weights_cache import official_weights

    encoder = specs_of(model)[0]
    with progress(f"weights of {encoder.name}") as report:
        return official_weights(encoder, known_options(encoder, options), progress=report)
