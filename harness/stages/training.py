"""The stage from a recipe to a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.artifact import CHECKPOINT_FILE, Checkpoint, read_checkpoint
from harness.core.errors import ConfigError
from harness.core.files import sha256_of_file
from harness.core.registry import DATASETS
from harness.core.specs import DatasetSpec
from harness.stages.data import data_folder


def train(
    model: str,
    data: str,
    regime: str,
    *,
    out: Path | None = None,
    root: Path | None = None,
    tile: int | None = None,
    recipe: str = "default",
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    force: bool = False,
    **settings: Any,
) -> tuple[Path, Checkpoint, bool]:
    """Train a model; `settings` are those of `harness.training.run.train`.

    Returns the checkpoint folder, the checkpoint, and whether it was trained now: one of the same settings is kept.
    Raises ConfigError where the folder holds a checkpoint of other settings.
    """
    from harness.support.model import input_size_for, specs_of
    from harness.training.recipe import read_recipe
    from harness.training.run import train as run

    spec: DatasetSpec = DATASETS.load(data)
    encoder, _ = specs_of(model)
    chosen, side = read_recipe(recipe, overrides), tile or spec.tile
    folder = out or default_run_folder(model, data, regime, seed)
    if (folder / CHECKPOINT_FILE).is_file() and not force:
        known = read_checkpoint(folder)
        asked = {"model": model, "data": f"{spec.name} {spec.version}", "regime": regime, "seed": seed, "recipe": chosen.model_dump(mode="json"), **settings}
        defaults = {"tile": side, "input_size": input_size_for(encoder, side, settings.get("input_size")), "weights": _identity(settings.get("weights"))}
        _require_same_training(folder, known, {**asked, **defaults})
        return folder, known, False
    run(model=model, dataset=spec, root=data_folder(spec, root, tile), tile=side, regime=regime, recipe=chosen, out=folder, seed=seed, **settings)
    return folder, read_checkpoint(folder), True


def _identity(weights: Path | None) -> str | None:
    """The sha256 of a file of weights; its name, which no checkpoint holds, where there is no such file."""
    if weights is None:
        return None
    return sha256_of_file(weights) if weights.is_file() else str(weights)


def _require_same_training(folder: Path, known: Checkpoint, asked: Mapping[str, Any]) -> None:
    """Raises ConfigError naming the first setting in which the checkpoint in `folder` differs."""
    used = known.dataset
    before = {**known.model_dump(mode="json"), "data": f"{used.name} {used.version}", "tile": used.tile, "weights": known.initial_weights.get("sha256")}
    for name, value in asked.items():
        if name in before and before[name] != value:
            raise ConfigError(
                f"{folder} holds a checkpoint of another {name}: {before[name]}, asked for {value}", "--force trains it again; --out chooses another folder"
            )


def default_run_folder(model: str, data: str, regime: str, seed: int) -> Path:
    return Path("runs") / f"{model.replace(':', '-')}--{data}--{regime}--seed{seed}"
