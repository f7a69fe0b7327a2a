"""Lightning's loop as a training uses it: what it is told, how it ends, and what it leaves in the work folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping

from harness.core.errors import CheckpointError, ConfigError, TrainingError, UnavailableError
from harness.core.files import cannot_write
from harness.support.model import SegmentationModel
from harness.support.weights_file import read_tensors
from harness.training.callbacks import EpochTable, LastEpochToo, StderrProgress, quiet_lightning
from harness.training.data import Batches
from harness.training.output import METRICS_FILE
from harness.training.recipe import Recipe
from harness.training.saving import MovableCheckpoint, WholeFiles
from harness.training.segmenter import Segmenter

LAST, BEST = "last", "best"


def trainer_for(recipe: Recipe, work: Path, *, devices: int, progress: bool, tensorboard: bool) -> lightning.Trainer:
    """A trainer on the GPUs of this machine, or else its CPU. Raises UnavailableError."""
    has_gpu = torch.cuda.is_available()
    if has_gpu and devices > torch.cuda.device_count():
        raise UnavailableError(f"this machine has {torch.cuda.device_count()} GPUs, got --devices {devices}", "harness doctor")
    with quiet_lightning():
        return lightning.Trainer(
            accelerator="cuda" if has_gpu else "cpu",
            devices=devices,
            strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto",
            sync_batchnorm=has_gpu and devices > 1,
            precision=_precision(recipe, has_gpu),
            max_epochs=recipe.epochs,
            gradient_clip_val=recipe.gradient_clip,
            check_val_every_n_epoch=min(recipe.validate_every, recipe.epochs),
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            callbacks=_callbacks(recipe, work, progress),
            plugins=[WholeFiles()],
            logger=_tensorboard(work) if tensorboard else False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=work,
        )


def _precision(recipe: Recipe, has_gpu: bool) -> Any:
    if recipe.precision == "auto":
        return ("bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed") if has_gpu else "32-true"
    if recipe.precision == "16-mixed" and not has_gpu:
        raise UnavailableError("precision 16-mixed needs a GPU, there is none here", "precision auto, 32 or bf16-mixed in the recipe")
    return "32-true" if recipe.precision == "32" else recipe.precision


def _callbacks(recipe: Recipe, work: Path, progress: bool) -> list[Callback]:
    shared: dict[str, Any] = {"dirpath": work, "enable_version_counter": False}
    best = MovableCheckpoint(filename=BEST, monitor="val_miou", mode="max", save_weights_only=True, **shared)
    last = MovableCheckpoint(filename=LAST, save_on_train_epoch_end=True, **shared)
    patience = [EarlyStopping("val_miou", mode="max", patience=recipe.patience)] if recipe.patience else []
    return [LastEpochToo(), EpochTable(work / METRICS_FILE), *([StderrProgress()] if progress else []), *patience, best, last]


def _tensorboard(work: Path) -> Any:
    from lightning.pytorch.loggers import TensorBoardLogger

    try:
        return TensorBoardLogger(work, name="", version="tensorboard")
    except ModuleNotFoundError as error:
        raise UnavailableError("TensorBoard is not installed", "pip install tensorboard") from error


@contextmanager
def _plainly(work: Path) -> Iterator[None]:
    """Lightning without its chatter; its Ctrl-C is a KeyboardInterrupt again, and a full disk a HarnessError."""
    try:
        with quiet_lightning():
            yield
    except OSError as error:
        raise cannot_write(work, error) from error
    except SystemExit as stop:
        raise KeyboardInterrupt from stop  # Lightning turns Ctrl-C into exit(1)


def fit(trainer: lightning.Trainer, segmenter: Segmenter, batches: Batches, work: Path) -> None:
    """Train to the end, from where the run in `work` was stopped if there was one."""
    last = work / f"{LAST}.ckpt"
    if last.is_file():
        _require_whole(last)
    try:
        with _plainly(work):
            trainer.fit(segmenter, datamodule=batches, ckpt_path=last if last.is_file() else None, weights_only=True)
    except TrainingError as error:
        raise TrainingError(error.message, f"rm -r {work}, then {error.hint}") from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError("batch norm needs more than one value per channel: the batches hold one tile", "--batch-size 2, or more tiles") from error


def _require_whole(last: Path) -> None:
    """Raises CheckpointError for a file that is cut short, before Lightning reads it."""
    try:
        read_tensors(last)
    except CheckpointError as error:
        raise CheckpointError(error.message, f"rm -r {last.parent}, then train again from the start") from error


def load_best(network: SegmentationModel, work: Path) -> dict[str, float]:
    """Load the weights of the epoch with the best validation into the network; gives its mIoU and number."""
    path = work / f"{BEST}.ckpt"
    if not path.is_file():
        raise TrainingError(f"no epoch was validated: {path} is not there", f"remove {work} and train again")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    tensors = saved["state_dict"]
    score = float(tensors.pop("val_miou"))
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items()})
    network.eval()
    return {"miou": score, "epoch": float(saved["epoch"] + 1)}
