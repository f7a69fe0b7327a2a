"""Tiles, crops, augmentation, labels and loss, without training anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from harness.core.errors import DataError
from harness.core.specs import Tile
from harness.datasets.synthetic import spec_of
from harness.training.data import EpochSampler
from harness.training.labels import inverse_weights, labeled_share
from harness.training.segmenter import pair_counts, pixel_loss
from harness.training.tiles import IGNORED, Split, TrainingTiles, ValidationTiles, open_split

SPEC = spec_of(2)


def numbered(side=8, *, bands=2, ignore=None):
    """A tile whose first band holds each pixel's number, and whose mask follows from it."""
    number = np.arange(side * side, dtype=np.float32).reshape(side, side)
    mask = (number % 3).astype(np.int64)
    return Tile("tile", np.stack([number, *[-number] * (bands - 1)]), mask if ignore is None else np.where(number < ignore, 255, mask))


def split_of(*tiles, spec=SPEC):
    return Split(spec, "train", list(tiles))


def training(*tiles, size, seed=0, flips=True, rot90=True):
    return TrainingTiles(split_of(*tiles), range(len(tiles)), size=size, seed=seed, flips=flips, rot90=rot90)


def test_pairs_follow_from_seed_epoch_and_tile_alone():
    one, other = training(numbered(), numbered(), size=5), training(numbered(), numbered(), size=5)
    other[(3, 0)]
    assert torch.equal(one[(1, 0)][0], other[(1, 0)][0])
    views = [one[(epoch, tile)][0] for epoch in range(4) for tile in range(2)]
    assert len({tuple(view.flatten().tolist()) for view in views}) > 4
    reseeded = training(numbered(), numbered(), size=5, seed=1)
    assert any(not torch.equal(one[(epoch, 0)][0], reseeded[(epoch, 0)][0]) for epoch in range(3))


def test_the_order_and_the_views_change_with_the_epoch_and_come_again():
    sampler = EpochSampler(training(*(numbered() for _ in range(8)), size=8), num_replicas=1, rank=0, shuffle=True, seed=0)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert {first for first, _ in orders[-1]} == {epoch}
        assert sorted(number for _, number in orders[-1]) == list(range(8))
    assert orders[0] == orders[2]
    assert [number for _, number in orders[0]] != [number for _, number in orders[1]]


def test_image_and_mask_are_cropped_and_turned_together():
    tiles = training(numbered(), size=5)
    seen = set()
    for epoch in range(200):
        image, mask = tiles[(epoch, 0)]
        assert image.shape == (2, 5, 5)
        assert torch.equal(mask, (image[0] % 3).long())
        assert torch.equal(image[1], -image[0])
        seen.add(tuple(image[0].flatten().tolist()))
    assert len(seen) > 100  # of 16 places times 8 orientations


def test_without_augmentation_a_tile_of_the_right_size_stays():
    image, mask = training(numbered(), size=8, flips=False, rot90=False)[(5, 0)]
    assert np.array_equal(image.numpy(), numbered().image)
    assert np.array_equal(mask.numpy(), numbered().mask)


def test_smaller_tiles_are_padded_with_the_mean_and_not_labeled_there():
    image, mask = training(numbered(4), size=6, flips=False, rot90=False)[(0, 0)]
    assert image.shape == (2, 6, 6)
    assert torch.equal(image[:, 4:, :], torch.tensor(SPEC.mean)[:, None, None].expand(2, 2, 6))
    assert (mask[4:] == IGNORED).all()
    assert (mask[:, 4:] == IGNORED).all()
    assert (mask[:4, :4] >= 0).all()


def test_validation_tiles_are_whole_and_shared_between_devices():
    split = split_of(*(numbered() for _ in range(5)))
    shares = [index for rank in range(2) for index in ValidationTiles(split, start=rank, stride=2).indices]
    assert sorted(shares) == [0, 1, 2, 3, 4]
    assert ValidationTiles(split)[0][0].shape == (2, 8, 8)


def test_ignored_labels_become_one_value_and_are_not_counted():
    split = split_of(numbered(ignore=10), spec=replace(SPEC, ignore_index=255))
    assert (split[0].mask == IGNORED).sum() == 10
    assert split.class_counts().sum() == 54


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tile: Tile("t", tile.image[:1], tile.mask), "2 bands are wanted"),
        (lambda tile: Tile("t", tile.image, tile.mask[:4]), "its mask"),
        (lambda tile: Tile("t", np.where(tile.image == 3, np.nan, tile.image), tile.mask), "NaN"),
        (lambda tile: Tile("t", tile.image, tile.mask + 1), r"labels \[3\]"),
        (lambda tile: Tile("t", tile.image, tile.mask - 1), r"labels \[-1\]"),
    ],
)
def test_a_tile_that_does_not_fit_is_refused_by_name(change, said):
    with pytest.raises(DataError, match=said) as raised:
        split_of(numbered(), change(numbered()))
    assert "tile t" in str(raised.value)


@pytest.mark.parametrize(("tiles", "said"), [([], "no tiles"), ([numbered(ignore=64)], "no labeled pixel")])
def test_a_split_without_labels_is_refused(tiles, said):
    spec = replace(SPEC, ignore_index=255, open=lambda root, split: tiles)
    with pytest.raises(DataError, match=said):
        open_split(spec, Path("nowhere"), "val")


def test_the_content_of_the_tiles_has_a_hash():
    changed = numbered()
    changed.image[0, 0, 0] += 1
    assert split_of(numbered()).sha256 == split_of(numbered()).sha256 != split_of(changed).sha256


def test_a_share_is_stratified_exact_and_repeatable():
    counts = np.array([[1, 0]] * 60 + [[0, 1]] * 30 + [[1, 1]] * 10)
    chosen = labeled_share(counts, 0.1, seed=0)
    assert [sum(index in group for index in chosen) for group in (range(60), range(60, 90), range(90, 100))] == [6, 3, 1]
    assert chosen == labeled_share(counts, 0.1, seed=0) == sorted(set(chosen))
    assert chosen != labeled_share(counts, 0.1, seed=1)
    assert len(labeled_share(counts, 0.001, seed=0)) == 1
    assert labeled_share(counts, 1.0, seed=0) == list(range(100))


def test_inverse_weights_average_to_one_over_the_pixels():
    counts = np.array([[60, 20, 0], [20, 0, 0]])
    weights = inverse_weights(counts)
    assert weights == pytest.approx([100 / 160, 100 / 40, 1])
    assert (weights * counts.sum(0)).sum() / counts.sum() == pytest.approx(1)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 2.0, 1.0)])
def test_the_loss_is_torchs_weighted_mean(weights):
    torch.manual_seed(0)
    logits, mask = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    mask[0, 0] = IGNORED
    wanted = F.cross_entropy(logits, mask, torch.tensor(weights), ignore_index=IGNORED)
    assert pixel_loss(logits, mask, torch.tensor(weights)) == pytest.approx(wanted)


def test_the_loss_of_a_batch_without_labels_is_zero():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = pixel_loss(logits, torch.full((1, 4, 4), IGNORED), torch.ones(3))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_pairs_are_counted_by_truth_and_prediction():
    truth, predicted = torch.tensor([[0, 0, 1, IGNORED]]), torch.tensor([[0, 1, 1, 1]])
    assert pair_counts(predicted, truth, 2).tolist() == [[1, 1], [0, 1]]
