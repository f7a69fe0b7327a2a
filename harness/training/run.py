"""Train a pair on a data set: `train`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import torch

from harness.core.errors import ConfigError, DataError
from harness.core.files import first_problem, sha256_of_file
from harness.core.specs import DatasetSpec, EncoderSpec
from harness.support.model import SegmentationModel, build_model, input_size_for, specs_of
from harness.support.seeds import seed_all
from harness.support.weights_cache import weights_folder
from harness.training.data import Batches
from harness.training.job import Job, alone_in, work_folder
from harness.training.labels import inverse_weights, labeled_share
from harness.training.loop import fit, load_best, trainer_for
from harness.training.output import write_checkpoint
from harness.training.recipe import Recipe
from harness.training.segmenter import Segmenter
from harness.training.tiles import TrainingTiles, open_split


def train(
    *,
    model: str,
    dataset: DatasetSpec,
    root: Path,
    regime: str,
    recipe: Recipe,
    out: Path,
    seed: int = 0,
    label_fraction: float = 1.0,
    tile: int | None = None,
    input_size: int | None = None,
    weights: Path | None = None,
    devices: int = 1,
    fill_missing: bool = False,
    progress: bool = True,
    tensorboard: bool = False,
    encoder_options: Mapping[str, Any] | None = None,
    decoder_options: Mapping[str, Any] | None = None,
) -> Path:
    """Train `model` on the data in the folder `root` and write the epoch with the best val mIoU as a checkpoint folder `out`.

    A run that was stopped goes on where it was when the same settings are given. `label_fraction` is the share of training tiles used;
    `tile` the side in pixels that the set was prepared with (None: its usual one), and the default of `input_size`, whatever single tiles
    measure; with `fill_missing` bands that the encoder wants and the data lacks are zeros.
    Raises ConfigError (settings that can't work), DataError (missing, empty or corrupt data), CheckpointError (weights that do not
    fit), UnavailableError (no such device) or TrainingError (the loss is not finite).
    """
    training, validation = open_split(dataset, root, "train"), open_split(dataset, root, "val")
    encoder, side = specs_of(model)[0], tile or dataset.tile
    job = _job(
        model=model,
        dataset=dataset.name,
        version=dataset.version,
        data=training.sha256,
        regime=regime,
        recipe=recipe,
        seed=seed,
        label_fraction=label_fraction,
        tile=side,
        input_size=input_size_for(encoder, side, input_size),
        weights=sha256_of_file(weights) if weights and weights.is_file() else None,
        devices=devices,
        fill_missing=fill_missing,
        encoder_options=dict(encoder_options or {}),
        decoder_options=dict(decoder_options or {}),
    )
    seed_all(seed)
    network = _network(job, dataset)
    initial = initial_weights(network, job, weights)
    work = work_folder(out, job)
    with alone_in(work):
        counts = training.class_counts()
        chosen = labeled_share(counts, label_fraction, seed)
        _require_labels(counts[chosen], dataset)
        tiles = TrainingTiles(training, chosen, size=job.input_size, seed=seed, flips=recipe.flips, rot90=recipe.rot90)
        weights_of_classes = _class_weights(recipe, counts[chosen])
        segmenter = Segmenter(network, recipe, frozen=regime == "frozen", class_weights=weights_of_classes, ignore_index=dataset.ignore_index, seed=seed)
        trainer = trainer_for(recipe, work, devices=devices, progress=progress, tensorboard=tensorboard)
        fit(trainer, segmenter, Batches(tiles, validation, recipe, seed=seed), work)
        if not trainer.is_global_zero:
            raise SystemExit(0)  # a process that Lightning started for a further device; the first one writes
        best = load_best(network, work)
        return write_checkpoint(out, job, network=network, dataset=dataset, initial=initial, best=best, epochs=trainer.current_epoch, work=work)


def _job(**fields: Any) -> Job:
    try:
        return Job(**fields)
    except pydantic.ValidationError as problem:
        raise ConfigError(f"training settings: {first_problem(problem)}", "harness train --help") from problem


def _network(job: Job, dataset: DatasetSpec) -> SegmentationModel:
    return build_model(
        job.model,
        bands=dataset.bands,
        num_classes=dataset.num_classes,
        input_size=job.input_size,
        mean=dataset.mean,
        std=dataset.std,
        encoder_options=job.encoder_options,
        decoder_options=job.decoder_options,
        fill_missing=job.fill_missing,
    )


def initial_weights(network: SegmentationModel, job: Job, weights: Path | None) -> dict[str, Any]:
    """Load the encoder's initial weights, where a file is given, and say where they come from. Raises ConfigError or CheckpointError."""
    encoder = specs_of(job.model)[0]
    if weights is None:
        return {"source": "random", **_warning_of(job.regime)}
    if job.regime == "scratch":
        raise ConfigError(f"regime scratch starts from random weights, got --weights {weights}", "--regime finetune, or leave --weights out")
    if encoder.load_weights is None:
        raise ConfigError(f"encoder {encoder.name} has no published weights, got --weights {weights}", "leave --weights out")
    report = encoder.load_weights(network.encoder, weights)
    return {"source": weights.name, "sha256": sha256_of_file(weights), **_origin(encoder, weights), **report}


def _warning_of(regime: str) -> dict[str, str]:
    """What is wrong with random weights in this regime, said and to be recorded."""
    if regime == "scratch":
        return {}
    what = "the encoder is frozen with random weights: scores say nothing about its pretraining"
    warning = f"{what if regime == 'frozen' else 'nothing is finetuned, the encoder starts from random weights as in regime scratch'}; give --weights"
    logging.getLogger(__name__).warning(warning)
    return {"warning": warning}


def _origin(encoder: EncoderSpec, weights: Path) -> dict[str, str]:
    """Where a file in the cache of published weights was downloaded from."""
    found = [file for file in encoder.official if weights == weights_folder(encoder.name) / file.name]
    return {"url": found[0].url} if found else {}


def _require_labels(counts: np.ndarray, dataset: DatasetSpec) -> None:
    """Warns of classes that no chosen tile holds, but of no ignored one. `counts` is (tiles, classes).

    Raises DataError where none of the tiles has a labeled pixel.
    """
    found = counts.sum(0)
    if not found.any():
        raise DataError(
            f"none of the {len(counts)} chosen training tiles of {dataset.name} has a labeled pixel", "a larger --label-fraction, or another --seed"
        )
    absent = [name for index, name in enumerate(dataset.classes) if not found[index] and index != dataset.ignore_index]
    if absent:
        message = "no chosen training tile holds a pixel of %s, so it can't be learned (tiles: %d)"
        logging.getLogger(__name__).warning(message, ", ".join(absent), len(counts))


def _class_weights(recipe: Recipe, counts: np.ndarray) -> torch.Tensor:
    """Weight (classes,) of each class in the loss; `counts` is (tiles, classes)."""
    if recipe.class_weights == "none":
        return torch.ones(counts.shape[1])
    return torch.from_numpy(inverse_weights(counts))
