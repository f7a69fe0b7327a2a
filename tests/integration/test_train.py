"""Trainings of tiny networks on the synthetic set, from tiles to checkpoint."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchmetrics.functional.classification import multiclass_jaccard_index

from harness.core.artifact import read_checkpoint
from harness.core.errors import CheckpointError, ConfigError, DataError, HarnessError, TrainingError
from harness.core.files import atomic_file
from harness.core.registry import DATASETS
from harness.core.specs import Tile
from harness.stages import data_folder
from harness.support.model import build_model, model_from_checkpoint
from harness.training.recipe import Recipe
from harness.training.run import train
from harness.training.segmenter import Segmenter

SPEC = DATASETS.load("synthetic")
MODEL = "timm:test_efficientnet+linear"
QUICK = Recipe(epochs=3, lr=3e-3, batch_size=16)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    SPEC.prepare(folder, lambda done, total, what: None)
    return folder


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory) -> Path:
    return run(root, tmp_path_factory.mktemp("run") / "out")


def run(root, out, **changes):
    """Train MODEL with random depth, or another one without."""
    options = {} if "model" in changes else {"encoder_options": {"drop_path_rate": 0.5}}
    return train(**{"model": MODEL, "dataset": SPEC, "root": root, "regime": "scratch", "recipe": QUICK, "out": out, "progress": False, **options, **changes})


def encoder_tensors(folder):
    return {name: tensor for name, tensor in load_file(folder / "weights.safetensors").items() if name.startswith("encoder.")}


def rows_of(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_checkpoint_is_whole_and_the_work_is_gone(trained):
    checkpoint = read_checkpoint(trained)
    assert sorted(item.name for item in trained.iterdir()) == ["checkpoint.json", "metrics.csv", "weights.safetensors"]
    assert (checkpoint.model, checkpoint.regime, checkpoint.epochs, checkpoint.input_size) == (MODEL, "scratch", 3, 64)
    assert checkpoint.initial_weights == {"source": "random"}
    assert checkpoint.dataset.sha256
    assert [row["epoch"] for row in rows_of(trained)] == ["1", "2", "3"]
    assert float(rows_of(trained)[-1]["train_loss"]) < float(rows_of(trained)[0]["train_loss"])


def test_the_best_score_is_torchmetrics_on_the_weights_that_were_kept(trained, root):
    network, tiles = model_from_checkpoint(trained), SPEC.open(root, "val")
    with torch.no_grad():
        found = torch.stack([network(torch.from_numpy(tiles[index].image)[None]).argmax(1)[0] for index in range(len(tiles))])
    truth = torch.stack([torch.from_numpy(tiles[index].mask) for index in range(len(tiles))])
    best = read_checkpoint(trained).best
    assert best["miou"] == pytest.approx(float(multiclass_jaccard_index(found, truth, SPEC.num_classes)), abs=1e-6)
    scores = [float(row["val_miou"]) for row in rows_of(trained)]
    assert best["miou"] == pytest.approx(max(scores))
    assert best["epoch"] == 1 + scores.index(max(scores))


def test_a_seed_gives_the_same_weights_again(trained, root, tmp_path):
    assert read_checkpoint(run(root, tmp_path / "again")).weights_sha256 == read_checkpoint(trained).weights_sha256
    assert read_checkpoint(run(root, tmp_path / "other", seed=1)).weights_sha256 != read_checkpoint(trained).weights_sha256


def test_a_stopped_run_goes_on_to_the_weights_of_one_that_was_not(root, tmp_path, monkeypatch):
    dropping = {"model": "timm:test_efficientnet+upernet", "decoder_options": {"width": 8, "dropout": 0.5}}
    whole = run(root, tmp_path / "whole", **dropping)
    step = Segmenter.training_step

    def interrupted(self, batch, number):
        if (self.current_epoch, number) == (2, 1):
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(Segmenter, "training_step", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "out", **dropping)
    assert signal.getsignal(signal.SIGINT) == handler
    assert [item.name for item in (tmp_path / "out").iterdir()] == [".work"]
    monkeypatch.setattr(Segmenter, "training_step", step)
    with pytest.raises(ConfigError, match=r"recipe.lr 0.003 -> 0.001"):
        run(root, tmp_path / "out", **dropping, recipe=QUICK.model_copy(update={"lr": 1e-3}))
    run(root, tmp_path / "out", **dropping)
    assert read_checkpoint(tmp_path / "out").weights_sha256 == read_checkpoint(whole).weights_sha256
    assert rows_of(tmp_path / "out") == rows_of(whole)


def test_a_truncated_state_is_an_error_not_a_traceback(root, tmp_path, monkeypatch):
    monkeypatch.setattr(Segmenter, "on_validation_epoch_end", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "out")
    monkeypatch.undo()
    (tmp_path / "out" / ".work" / "last.ckpt").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(CheckpointError, match=r"last\.ckpt") as raised:
        run(root, tmp_path / "out")
    assert "rm -r" in raised.value.hint


def test_a_disk_that_is_full_leaves_the_state_of_the_epoch_before(root, tmp_path, monkeypatch):
    write, written = atomic_file, []

    @contextlib.contextmanager
    def full(path):
        with write(path) as file:
            yield file
            written.append(path.name)
            if written.count("last.ckpt") == 2:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("harness.training.saving.atomic_file", full)
    with pytest.raises(HarnessError, match=r"cannot write .*last\.ckpt: No space left"):
        run(root, tmp_path / "out")
    monkeypatch.undo()
    state = torch.load(tmp_path / "out" / ".work" / "last.ckpt", weights_only=True)
    assert state["epoch"] == 0
    assert len(rows_of(run(root, tmp_path / "out"))) == 3


def test_a_moved_folder_keeps_the_best_epoch_so_far(root, tmp_path, monkeypatch):
    """The score is said to fall from epoch to epoch, so the first is the best; the run stops in the last and goes on elsewhere."""

    def falling(self):
        self.val_miou.fill_(1 / (self.current_epoch + 2))
        self.log("val_miou", self.val_miou)

    step = Segmenter.training_step

    def interrupted(self, batch, number):
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(Segmenter, "on_validation_epoch_end", falling)
    monkeypatch.setattr(Segmenter, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "out")
    monkeypatch.setattr(Segmenter, "training_step", step)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert read_checkpoint(run(root, tmp_path / "moved")).best == {"miou": 0.5, "epoch": 1}


def test_a_frozen_encoder_does_not_move_at_all(root, tmp_path, monkeypatch):
    step, modes = Segmenter.training_step, []

    def watched(self, batch, number):
        modes.append((any(part.training for part in self.network.encoder.modules()), all(part.training for part in self.network.decoder.modules())))
        assert not any(feature.requires_grad for feature in self.network.encoder(batch[0]))
        return step(self, batch, number)

    monkeypatch.setattr(Segmenter, "training_step", watched)
    recipe = QUICK.model_copy(update={"epochs": 2})
    out = run(root, tmp_path / "out", regime="frozen", recipe=recipe)
    assert set(modes) == {(False, True)}
    again = run(root, tmp_path / "longer", regime="frozen", recipe=QUICK)
    assert all(torch.equal(one, encoder_tensors(again)[name]) for name, one in encoder_tensors(out).items())
    assert int(encoder_tensors(out)["encoder.network.bn1.num_batches_tracked"]) == 0
    assert "random weights" in read_checkpoint(out).initial_weights["warning"]


def test_finetuning_moves_the_weights_that_it_started_from(trained, root, tmp_path):
    weights = tmp_path / "published.safetensors"
    save_file({name.removeprefix("encoder.network."): tensor for name, tensor in encoder_tensors(trained).items()}, weights)
    frozen = run(root, tmp_path / "frozen", regime="frozen", weights=weights, recipe=QUICK.model_copy(update={"epochs": 1}))
    assert all(torch.equal(one, encoder_tensors(frozen)[name]) for name, one in encoder_tensors(trained).items())
    report = read_checkpoint(frozen).initial_weights
    assert (report["source"], report["used"]) == ("published.safetensors", len(encoder_tensors(trained)))
    tuned = run(root, tmp_path / "tuned", regime="finetune", weights=weights, recipe=QUICK.model_copy(update={"epochs": 1}))
    assert any(not torch.equal(one, encoder_tensors(tuned)[name]) for name, one in encoder_tensors(trained).items())


def test_tiles_larger_than_a_fixed_encoder_are_cropped_and_scored_by_windows(root, tmp_path):
    out = run(root, tmp_path / "out", model="timm:test_vit+linear", input_size=48, recipe=QUICK.model_copy(update={"epochs": 1}))
    checkpoint = read_checkpoint(out)
    assert (checkpoint.input_size, checkpoint.dataset.tile) == (48, 64)
    assert 0 < checkpoint.best["miou"] < 1


def test_no_better_score_ends_the_training(root, tmp_path):
    recipe = Recipe(epochs=20, lr=1e-12, batch_size=16, schedule="constant", patience=2, class_weights="inverse")
    assert read_checkpoint(run(root, tmp_path / "out", recipe=recipe, regime="frozen", label_fraction=0.5)).epochs < 20


def test_a_loss_that_is_not_finite_names_epoch_and_step(root, tmp_path):
    with pytest.raises(TrainingError, match=r"loss became nan in epoch 1, step \d"):
        run(root, tmp_path / "out", recipe=QUICK.model_copy(update={"lr": 1e30, "schedule": "constant"}))
    assert not (tmp_path / "out" / "checkpoint.json").exists()


def test_one_tile_per_batch_under_a_pooled_batch_norm_is_an_error_with_advice(root, tmp_path):
    with pytest.raises(ConfigError, match="batch norm") as raised:
        run(root, tmp_path / "out", model="timm:test_efficientnet+upernet", decoder_options={"width": 8}, recipe=Recipe(epochs=1, batch_size=1))
    assert "--batch-size 2" in raised.value.hint


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": Path("some.pth")}, "scratch starts from random weights"),
        ({"weights": Path("some.pth"), "regime": "finetune", "model": "unet+unet"}, "no published weights"),
        ({"regime": "half"}, "regime"),
        ({"label_fraction": 0.0}, "label_fraction"),
        ({"label_fraction": 1.5}, "label_fraction"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"model": "timm:test_vit+unet"}, "unet"),
        ({"decoder_options": {"depth": 3}}, "depth"),
    ],
)
def test_settings_that_can_not_work_are_refused_before_anything_is_written(root, tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said):
        run(root, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_there_are_an_error(root, tmp_path):
    with pytest.raises(CheckpointError, match=r"no\.pth"):
        run(root, tmp_path / "out", regime="finetune", weights=tmp_path / "no.pth")


def test_a_data_set_with_ignored_pixels_trains(root, tmp_path, caplog):
    spec = replace(SPEC, ignore_index=2)
    checkpoint = read_checkpoint(run(root, tmp_path / "out", dataset=spec, recipe=QUICK.model_copy(update={"epochs": 1})))
    assert checkpoint.ignore_index == 2
    assert "can't be learned" not in caplog.text, "of a class that is ignored nothing is to be learned"


def test_a_small_first_tile_changes_neither_the_input_size_nor_where_the_data_is_found(root, tmp_path):
    class FirstIsSmall(list):
        def __init__(self, tiles):
            first = tiles[0]
            super().__init__([Tile(first.name, first.image[:, :37, :53], first.mask[:37, :53]), *(tiles[index] for index in range(1, len(tiles)))])

    spec = replace(SPEC, open=lambda folder, split: FirstIsSmall(SPEC.open(folder, split)))
    checkpoint = read_checkpoint(run(root, tmp_path / "out", dataset=spec, recipe=QUICK.model_copy(update={"epochs": 1})))
    assert (checkpoint.input_size, checkpoint.dataset.tile) == (64, 64)
    assert data_folder(SPEC, tmp_path, checkpoint.dataset.tile).name == "synthetic-1"


def test_the_last_epoch_is_validated_too(root, tmp_path):
    out = run(root, tmp_path / "out", recipe=QUICK.model_copy(update={"validate_every": 2}))
    assert [bool(row["val_miou"]) for row in rows_of(out)] == [False, True, True]
    assert read_checkpoint(out).best["epoch"] == 3


def test_finetuning_from_nothing_is_said_and_recorded(root, tmp_path, caplog):
    found = read_checkpoint(run(root, tmp_path / "out", regime="finetune", recipe=QUICK.model_copy(update={"epochs": 1})))
    assert "starts from random weights" in found.initial_weights["warning"]
    assert found.initial_weights["warning"] in caplog.text


def relabeled(change):
    """The set with other masks in its training tiles: `change(number, mask)`."""

    def opened(folder, split):
        tiles = SPEC.open(folder, split)
        masks = (change(index, tiles[index].mask) if split == "train" else tiles[index].mask for index in range(len(tiles)))
        return [Tile(tiles[index].name, tiles[index].image, mask) for index, mask in enumerate(masks)]

    return replace(SPEC, open=opened, ignore_index=-1)


def test_a_class_that_no_training_tile_holds_is_named(root, tmp_path, caplog):
    spec = relabeled(lambda number, mask: np.where(mask == 1, 0, mask))
    run(root, tmp_path / "out", dataset=spec, recipe=QUICK.model_copy(update={"epochs": 1}))
    assert "no chosen training tile holds a pixel of disk," in caplog.text


def test_a_share_without_a_label_is_refused(root, tmp_path):
    spec = relabeled(lambda number, mask: mask if number == 0 else np.full_like(mask, -1))
    with pytest.raises(DataError, match="none of the 1 chosen training tiles"):
        run(root, tmp_path / "out", dataset=spec, label_fraction=0.02)


def test_a_network_of_the_checkpoint_fits_its_weights(trained):
    facts = json.loads((trained / "checkpoint.json").read_text())
    network = build_model(facts["model"], bands=SPEC.bands, num_classes=3, input_size=facts["input_size"])
    assert network.state_dict().keys() == load_file(trained / "weights.safetensors").keys()
    assert facts["parameters"] == sum(parameter.numel() for parameter in network.parameters())
