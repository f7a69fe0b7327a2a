"""Accuracy figures against torchmetrics, on random and adversarial cases."""

import numpy as np
import pytest
import torch
from torchmetrics import JaccardIndex
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from harness.core.registry import METRICS
from harness.support.confusion import bootstrap_miou, confusion, miou


def logits_of(classes, predicted):
    return np.moveaxis(np.eye(classes, dtype=np.float32)[predicted], -1, 0)


def results(classes, pairs, ignore=None):
    """All figures of the (predicted, truth) images by quantity."""
    found = {}
    for name in METRICS.names():
        accumulator = METRICS.load(name).start([f"c{index}" for index in range(classes)], ignore)
        for number, (predicted, truth) in enumerate(pairs):
            accumulator.update(logits_of(classes, predicted), truth, f"r{number}")
        found.update({outcome.quantity: outcome for outcome in accumulator.result()})
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("ignore", [None, 255])
def test_figures_are_torchmetrics(seed, ignore):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 9))
    pairs = [(rng.integers(0, classes, (16, 16)), rng.integers(0, classes, (16, 16))) for _ in range(4)]
    if ignore is not None:
        for _, truth in pairs:
            truth[rng.random(truth.shape) < 0.3] = ignore
    predicted, truth = (torch.tensor(np.stack(side)) for side in zip(*pairs, strict=True))
    ours = results(classes, pairs, ignore)
    arguments = {"num_classes": classes, "ignore_index": ignore}
    assert ours["miou"].value == pytest.approx(float(JaccardIndex(task="multiclass", average="macro", **arguments)(predicted, truth)), abs=1e-6)
    assert ours["pixel_accuracy"].value == pytest.approx(float(MulticlassAccuracy(average="micro", **arguments)(predicted, truth)), abs=1e-6)
    assert ours["macro_f1"].value == pytest.approx(float(MulticlassF1Score(average="macro", **arguments)(predicted, truth)), abs=1e-6)


def test_by_hand():
    truth, predicted = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    found = results(2, [(predicted, truth)])
    assert found["miou"].value == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["pixel_accuracy"].value == pytest.approx(3 / 4)


def test_a_class_in_neither_truth_nor_prediction_is_left_out_not_scored_zero():
    truth = np.array([[0, 0, 1, 1]])
    found = results(3, [(truth, truth)])
    assert found["miou"].value == 1.0
    assert found["miou"].detail["per_class"] == {"c0": 1.0, "c1": 1.0, "c2": None}


def test_a_class_that_is_only_predicted_scores_zero():
    assert results(3, [(np.array([[0, 2]]), np.array([[0, 0]]))])["miou"].value == pytest.approx((1 / 2 + 0) / 2)


def test_nothing_labeled_gives_no_figure():
    assert results(2, [(np.zeros((2, 2), int), np.full((2, 2), 9))], ignore=9) == {}


def test_per_image_and_data_set_level_are_different_figures():
    pairs = [(np.array([[0, 0]]), np.array([[0, 0]])), (np.array([[1, 1]]), np.array([[0, 1]]))]
    found = results(2, pairs)
    assert found["miou"].value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["miou_per_image"].value == pytest.approx((1.0 + (0 + 1 / 2) / 2) / 2)


def test_counts_stay_exact_beyond_the_integers_of_float32():
    matrix = confusion(np.zeros(2**12, int), np.zeros(2**12, int), 2, None) * 2**13
    assert matrix.dtype == np.int64
    assert int((matrix + confusion(np.zeros(1, int), np.zeros(1, int), 2, None))[0, 0]) == 2**25 + 1


def test_the_bootstrap_interval_holds_the_value_and_needs_three_regions():
    rng = np.random.default_rng(0)
    regions = [rng.integers(1, 100, (3, 3)) for _ in range(12)]
    interval = bootstrap_miou(regions)
    assert interval.low < miou(np.sum(regions, axis=0)) < interval.high
    assert bootstrap_miou(regions) == interval
    assert bootstrap_miou(regions[:2]) is None


def test_identical_regions_have_no_spread():
    interval = bootstrap_miou([np.array([[5, 1], [2, 7]])] * 6)
    assert interval.low == interval.high
