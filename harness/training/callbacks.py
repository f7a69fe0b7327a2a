"""What happens beside the steps: the table of epochs, the progress bar, and a quiet Lightning."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness.core.files import write_atomic

#: What Lightning says about every small training; none of it is about a mistake.
CHATTER = (
    r".*does not have many workers.*",
    r".*number of training batches .* is smaller than the logging interval.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    r".*in eval mode at the start of training.*",
    r".*all_gather is deprecated.*",
    r".*GPU available but not used.*",
    r".*`weights_only`.*",
    r".*resuming from a checkpoint that ended before the epoch ended.*",
)


class EpochTable(Callback):
    """One row per epoch in `metrics.csv`: epoch, train_loss, val_loss, val_miou, lr. Rows go on where a stopped run was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        validated = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        wanted = ("train_loss", "val_loss", "val_miou") if validated else ("train_loss",)
        scores = {name: float(trainer.callback_metrics[name]) for name in wanted}
        self.rows.append({"epoch": trainer.current_epoch + 1, **scores, "lr": float(trainer.optimizers[0].param_groups[0]["lr"])})
        write_atomic(self.path, _csv(self.rows))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


def _csv(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["epoch", "train_loss", "val_loss", "val_miou", "lr"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class LastEpochToo(Callback):
    """The last epoch is validated whatever `check_val_every_n_epoch` is, as in Cryo-Bench: else the most trained weights could not be the best."""

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


class StderrProgress(Callback):
    """On a terminal a bar over all steps; elsewhere a line per epoch."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:
            self._task = self._bar.add_task("training", total=trainer.estimated_stepping_batches, completed=trainer.global_step)
            self._bar.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, *arguments: Any, **more: Any) -> None:
        if trainer.is_global_zero:
            self._bar.update(self._task, completed=trainer.global_step, description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}{_scores(trainer)}")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.is_global_zero and not self._console.is_terminal:
            self._console.print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}{_scores(trainer)}", highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._bar.stop()

    def on_exception(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException) -> None:
        self._bar.stop()


def _scores(trainer: lightning.Trainer) -> str:
    names = {"train_loss": "loss", "val_miou": "val mIoU"}
    return "".join(f", {said} {float(trainer.callback_metrics[name]):.4f}" for name, said in names.items() if name in trainer.callback_metrics)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's tips and its warnings about small trainings; errors and other warnings stay."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in CHATTER:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
