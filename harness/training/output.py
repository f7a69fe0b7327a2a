"""The checkpoint folder that a training leaves: weights.safetensors, checkpoint.json, metrics.csv."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness
from harness.core.artifact import CHECKPOINT_FILE, WEIGHTS_FILE, Checkpoint, DataUse, Preprocessing
from harness.core.files import atomic_folder, sha256_of_file, write_value
from harness.core.specs import DatasetSpec
from harness.support.model import SegmentationModel
from harness.support.weights_file import write_tensors
from harness.training.job import Job

METRICS_FILE = "metrics.csv"
PACKAGES = ("torch", "timm", "lightning", "numpy")


def write_checkpoint(
    out: Path, job: Job, *, network: SegmentationModel, dataset: DatasetSpec, initial: Mapping[str, Any], best: Mapping[str, float], epochs: int, work: Path
) -> Path:
    """Write the folder `out` whole or not at all; the work folder in it goes. Raises HarnessError when it can't be written."""
    with atomic_folder(out) as folder:
        write_tensors(folder / WEIGHTS_FILE, network.state_dict())
        checkpoint = Checkpoint(
            model=job.model,
            encoder_options=job.encoder_options,
            decoder_options=job.decoder_options,
            task=dataset.task,
            bands=dataset.bands,
            zero_filled=network.band_plan.zero_filled,
            classes=dataset.classes,
            input_size=job.input_size,
            ignore_index=dataset.ignore_index,
            preprocessing=Preprocessing(mean=dataset.mean, std=dataset.std),
            dataset=DataUse(name=dataset.name, version=dataset.version, sha256=job.data, gsd_m=dataset.gsd_m, tile=job.tile),
            regime=job.regime,
            recipe=job.recipe.model_dump(mode="json"),
            seed=job.seed,
            label_fraction=job.label_fraction,
            epochs=epochs,
            best=dict(best),
            initial_weights=dict(initial),
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            weights_sha256=sha256_of_file(folder / WEIGHTS_FILE),
            code={"harness": harness.__version__},
            versions={"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}},
        )
        write_value(folder / CHECKPOINT_FILE, checkpoint)
        for kept in (METRICS_FILE, "tensorboard"):
            if (work / kept).exists():
                (work / kept).rename(folder / kept)
    return out
