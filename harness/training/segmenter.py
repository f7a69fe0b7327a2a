"""The Lightning module: what a step computes, what is trained, and how a validation is scored."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from harness.core.errors import TrainingError
from harness.support.confusion import miou
from harness.support.model import SegmentationModel
from harness.support.seeds import seed_all
from harness.support.windows import predict
from harness.training.recipe import Recipe, rate_factor
from harness.training.tiles import IGNORED


class Segmenter(lightning.LightningModule):
    """Trains a network by cross entropy; logs train_loss, val_loss and val_miou, of one integer confusion matrix over the whole split.

    With `frozen` the encoder gets no gradient and stays in eval mode at every step: no dropout, no drop path, no batch-norm drift.
    """

    weights: Tensor
    confusion: Tensor
    val_miou: Tensor

    def __init__(self, network: SegmentationModel, recipe: Recipe, *, frozen: bool, class_weights: Tensor, ignore_index: int | None, seed: int) -> None:
        super().__init__()
        self.network, self.recipe, self.frozen, self.seed, self.ignore_index = network, recipe, frozen, seed, ignore_index
        classes = len(class_weights)
        self.register_buffer("weights", class_weights.float(), persistent=False)
        self.register_buffer("confusion", torch.zeros(classes, classes, dtype=torch.int64), persistent=False)
        self.register_buffer("val_miou", torch.tensor(float("nan"), dtype=torch.float64))  # saved with the weights that it is the score of
        if frozen:
            network.encoder.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Segmenter:
        super().train(mode)
        if self.frozen:
            self.network.encoder.eval()
        return self

    def on_train_batch_start(self, batch: Any, number: int) -> None:
        seed_all(self.seed, self.current_epoch, number, self.global_rank)  # dropout is then the same in a run that was stopped

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        image, mask = batch
        loss = pixel_loss(self.network(image), mask, self.weights)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1}, step {number + 1}", "a lower --lr, or precision 32 in the recipe"
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(image), sync_dist=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.confusion.zero_()

    def validation_step(self, batch: tuple[Tensor, Tensor], number: int) -> None:
        image, mask = batch
        logits = self._whole(image)
        self.confusion += pair_counts(logits.argmax(1), mask, len(self.weights))
        self.log("val_loss", pixel_loss(logits, mask, self.weights), on_epoch=True, batch_size=len(image), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        gathered = torch.as_tensor(self.all_gather(self.confusion)).reshape(-1, *self.confusion.shape)
        self.val_miou.fill_(miou(gathered.sum(0).cpu().numpy(), self.ignore_index))
        self.log("val_miou", self.val_miou, sync_dist=True)

    def _whole(self, image: Tensor) -> Tensor:
        """Logits of tiles of any size; those larger than the encoder takes are covered by windows, as in scoring an artifact."""
        size = self.network.fixed_size
        if size is None or max(image.shape[-2:]) <= size:
            whole: Tensor = self.network(image)
            return whole
        logits = [predict(self._windows, one, size) for one in image.cpu().numpy()]
        return torch.from_numpy(np.stack(logits)).to(image.device)

    def _windows(self, windows: np.ndarray) -> np.ndarray:
        logits: np.ndarray = self.network(torch.from_numpy(windows).to(self.device)).float().cpu().numpy()
        return logits

    def configure_optimizers(self) -> Any:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=self.recipe.lr, betas=self.recipe.betas, weight_decay=self.recipe.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(self.recipe, step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def pixel_loss(logits: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy, averaged over the labeled pixels by class weight; zero, not NaN, where no pixel is labeled."""
    total = F.cross_entropy(logits.float(), mask, weights, ignore_index=IGNORED, reduction="sum")
    counted = weights[mask.clamp(min=0)] * (mask != IGNORED)
    return total / counted.sum().clamp(min=torch.finfo(torch.float32).tiny)


def pair_counts(predicted: Tensor, mask: Tensor, classes: int) -> Tensor:
    """Counts (truth, predicted) as int64 (classes, classes) of the labeled pixels."""
    kept = mask != IGNORED
    pairs = mask[kept] * classes + predicted[kept]
    return torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
