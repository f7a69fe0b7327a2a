"""Batches for Lightning, the same for any number of workers, and for a run that was stopped and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, DistributedSampler

from harness.training.recipe import Recipe
from harness.training.tiles import Split, TrainingTiles, ValidationTiles


class EpochSampler(DistributedSampler[Any]):
    """Shuffled pairs (epoch, number): a tile's crop and flips follow from its key, in whichever process it is made."""

    def __iter__(self) -> Iterator[Any]:
        return ((self.epoch, number) for number in super().__iter__())


class Batches(lightning.LightningDataModule):
    """Each of several devices gets its share of the tiles. As in Cryo-Bench, an incomplete last batch is left out of the training."""

    def __init__(self, training: TrainingTiles, validation: Split, recipe: Recipe, *, seed: int) -> None:
        super().__init__()
        self.training, self.validation, self.recipe, self.seed = training, validation, recipe, seed

    def train_dataloader(self) -> DataLoader[Any]:
        trainer = self._trainer()
        sampler = EpochSampler(self.training, num_replicas=trainer.world_size, rank=trainer.global_rank, shuffle=True, seed=self.seed)
        is_whole = len(sampler) >= self.recipe.batch_size
        return DataLoader(self.training, batch_size=self.recipe.batch_size, sampler=sampler, drop_last=is_whole, **self._loading())

    def val_dataloader(self) -> DataLoader[Any]:
        trainer = self._trainer()
        own = ValidationTiles(self.validation, start=trainer.global_rank, stride=trainer.world_size)
        shapes = {self.validation[number].mask.shape for number in own.indices}
        return DataLoader(own, batch_size=self.recipe.batch_size if len(shapes) == 1 else 1, **self._loading())

    def _trainer(self) -> lightning.Trainer:
        assert self.trainer is not None
        return self.trainer

    def _loading(self) -> dict[str, Any]:
        return {"num_workers": self.recipe.workers, "pin_memory": torch.cuda.is_available(), "persistent_workers": self.recipe.workers > 0}
