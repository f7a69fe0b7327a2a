"""What to train with: a flat YAML file, readable alone, unknown keys refused. Shipped ones lie in `recipes/`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field, model_validator

from harness.core.errors import ConfigError, UnknownNameError
from harness.core.files import first_problem, read_yaml
from harness.core.specs import Value


class Recipe(Value):
    """Settings of a training with AdamW and cross entropy.

    `lr` is the rate that the schedule scales: `milestones` multiplies it by `gamma` after each of these shares of all steps, `cosine`
    lowers it to zero; `warmup` is the share of all steps in which it rises linearly. `validate_every` counts epochs (the last is validated
    too); `patience` is how many validations without a better mIoU end the training (None: never). `precision` auto: bf16 or fp16 on a GPU, fp32 on a CPU.
    `class_weights` inverse: of the class frequencies in the training tiles, their mean over the pixels being one.
    `workers`: processes that load tiles.
    """

    name: str = "custom"
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(8, ge=1)
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["constant", "milestones", "cosine"] = "cosine"
    milestones: tuple[float, ...] = (0.6, 0.9)
    gamma: float = Field(0.1, gt=0, le=1)
    warmup: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "auto"
    patience: int | None = Field(None, ge=1)
    validate_every: int = Field(1, ge=1)
    flips: bool = True
    rot90: bool = True
    class_weights: Literal["none", "inverse"] = "none"
    gradient_clip: float | None = Field(None, gt=0)
    workers: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _shares_and_rates_fit(self) -> Recipe:
        if list(self.milestones) != sorted(self.milestones) or not all(0 < share < 1 for share in self.milestones):
            raise ValueError(f"milestones must be rising shares between 0 and 1, got {list(self.milestones)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1), got {list(self.betas)}")
        return self


def recipe_names() -> tuple[str, ...]:
    """The shipped recipes."""
    return tuple(sorted(item.name.removesuffix(".yaml") for item in (files("harness.training") / "recipes").iterdir() if item.name.endswith(".yaml")))


def recipe_file(name: str) -> Path:
    """Where a shipped recipe lies."""
    return Path(str(files("harness.training") / "recipes" / f"{name}.yaml"))


def read_recipe(name: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A shipped recipe by name, or one from a YAML file; `overrides` replace fields. Raises ConfigError or UnknownNameError."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if str(name) not in recipe_names():
            raise UnknownNameError("recipe", str(name), recipe_names())
        path = recipe_file(str(name))
    recipe = read_yaml(path, Recipe, "see harness/training/recipes for examples")
    changes = {key: value for key, value in (overrides or {}).items() if value is not None}
    try:
        return Recipe.model_validate({"name": path.stem, **recipe.model_dump(exclude_defaults=True), **changes})
    except pydantic.ValidationError as problem:
        raise ConfigError(f"recipe {path.stem}: {first_problem(problem)}", "harness train --help") from problem


def rate_factor(recipe: Recipe, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at `step` of `steps`."""
    rising = round(recipe.warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    if recipe.schedule == "milestones":
        passed = sum(step >= int(share * steps) for share in recipe.milestones)
        return float(recipe.gamma**passed)
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
    return 1.0
