"""Accuracy figures against torchmetrics, on random and adversarial cases."""

import numpy as np
import pytest
import torch
from scipy import special, stats
from torchmetrics import JaccardIndex
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from harness.core.means import student
from harness.core.registry import METRICS
from harness.support.confusion import confusion, drop_interval, interval_over_regions, miou, miou_interval


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


@pytest.mark.parametrize("seed", range(5))
def test_an_ignored_class_that_is_decided_has_no_iou_as_in_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    predicted, truth = rng.integers(0, 4, (2, 3, 16, 16))
    found = results(4, list(zip(predicted, truth, strict=True)), 2)
    oracle = JaccardIndex(task="multiclass", average="macro", num_classes=4, ignore_index=2)
    assert found["miou"].value == pytest.approx(float(oracle(torch.tensor(predicted), torch.tensor(truth))), abs=1e-6)
    for name in ("miou", "macro_f1", "boundary_iou"):
        assert [label for label, score in found[name].detail["per_class"].items() if score is None] == ["c2"], name
    images = [float(oracle(torch.tensor(one)[None], torch.tensor(other)[None])) for one, other in zip(predicted, truth, strict=True)]
    assert found["miou_per_image"].value == pytest.approx(np.mean(images), abs=1e-6)


def adversarial():
    """(classes, ignore, predicted, truth): one class only, none right, everything ignored but one pixel, classes that never meet, a single pixel."""
    rng = np.random.default_rng(5)
    ones, zeros = np.ones((9, 7), int), np.zeros((9, 7), int)
    nearly = np.full((9, 7), 255)
    nearly[4, 3] = 2
    return [
        (2, None, ones, ones),
        (2, None, ones, zeros),
        (4, 255, ones, nearly),
        (19, None, rng.integers(0, 2, (9, 7)), rng.integers(17, 19, (9, 7))),
        (3, 0, rng.integers(0, 3, (9, 7)), rng.integers(0, 3, (9, 7))),
        (2, None, ones[:1, :1], ones[:1, :1]),
        (150, 255, rng.integers(0, 150, (9, 7)), rng.integers(0, 150, (9, 7))),
    ]


@pytest.mark.parametrize("case", range(7))
def test_adversarial_cases_are_scikit_learns(case):
    """Over the classes in truth or prediction of the labeled pixels, as a list of integers."""
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

    classes, ignore, predicted, truth = adversarial()[case]
    kept = np.ones(truth.shape, bool) if ignore is None else truth != ignore
    ours, sides = results(classes, [(predicted, truth)], ignore), (truth[kept], predicted[kept])
    assert np.array_equal(ours["miou"].detail["confusion"], confusion_matrix(*sides, labels=range(classes)))
    present = [index for index in np.union1d(*sides) if index != ignore]
    assert ours["miou"].value == pytest.approx(jaccard_score(*sides, labels=present, average="macro", zero_division=0), abs=1e-12)
    assert ours["macro_f1"].value == pytest.approx(f1_score(*sides, labels=present, average="macro", zero_division=0), abs=1e-12)
    assert ours["pixel_accuracy"].value == pytest.approx(accuracy_score(*sides), abs=1e-12)


@pytest.mark.parametrize("ignore", [None, 255])
@pytest.mark.parametrize("seed", range(5))
def test_calibration_is_torchmetrics(seed, ignore):
    from torchmetrics.classification import MulticlassCalibrationError

    rng = np.random.default_rng(seed)
    logits, truth = rng.normal(0, 3, (4, 32, 32)).astype(np.float32), rng.integers(0, 4, (32, 32))
    if ignore is not None:
        truth[rng.random(truth.shape) < 0.3] = ignore
    accumulator = METRICS.load("calibration").start("abcd", ignore)
    accumulator.update(logits, truth, "r")
    (ours,) = accumulator.result()
    oracle = MulticlassCalibrationError(num_classes=4, n_bins=15, norm="l1", ignore_index=ignore)
    assert ours.value == pytest.approx(float(oracle(torch.tensor(logits)[None], torch.tensor(truth)[None])), abs=1e-5)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_softmax_inside_the_model_is_not_taken_again(kind):
    """Probabilities are the confidence itself, which torchmetrics takes them for too."""
    from torchmetrics.classification import MulticlassCalibrationError

    rng = np.random.default_rng(0)
    shares, truth = special.softmax(rng.normal(0, 3, (4, 32, 32)), axis=0).astype(kind), rng.integers(0, 4, (32, 32))
    accumulator = METRICS.load("calibration").start("abcd", None)
    accumulator.update(shares, truth, "r")
    (ours,) = accumulator.result()
    oracle = MulticlassCalibrationError(num_classes=4, n_bins=15, norm="l1")
    assert ours.value == pytest.approx(float(oracle(torch.tensor(shares.astype(np.float32))[None], torch.tensor(truth)[None])), abs=1e-5)


def test_calibration_by_hand():
    """Two pixels of confidence 1 and two of 0.5 (a tie, so class 0): one wrong in each pair."""
    logits, truth = np.array([[[9e3, 9e3, 0, 0]], [[0, 0, 0, 0]]], np.float32), np.array([[0, 1, 0, 1]])
    accumulator = METRICS.load("calibration").start("ab", None)
    accumulator.update(logits, truth, "r")
    (ours,) = accumulator.result()
    assert ours.value == pytest.approx(0.5 * abs(0.5 - 1.0) + 0.5 * abs(0.5 - 0.5))


@pytest.mark.parametrize("seed", range(5))
def test_boundaries_are_those_of_an_erosion_by_scipy(seed):
    from scipy.ndimage import binary_erosion

    from harness.metrics.boundary_iou import boundary, distance

    rng = np.random.default_rng(seed)
    inside = rng.random((40, 60)) < 0.97
    assert distance((40, 60)) == 1
    for far in (1, 2, 5):
        wanted = inside & ~binary_erosion(inside, np.ones((3, 3)), iterations=far, border_value=0)
        assert np.array_equal(boundary(inside, far), wanted)


def test_boundary_iou_by_hand_and_what_it_sees_that_miou_does_not():
    """Two squares of 10 px, one shifted by a pixel: the interiors agree, the edges of one pixel do not."""
    truth, predicted = np.zeros((20, 20), int), np.zeros((20, 20), int)
    truth[5:15, 5:15], predicted[5:15, 6:16] = 1, 1
    found = results(2, [(predicted, truth)])
    ring = 36  # pixels of a ring of width 1 around 10 px; the shifted ring shares its two horizontal sides but for one pixel each
    assert found["boundary_iou"].detail["per_class"]["c1"] == pytest.approx(18 / (2 * ring - 18))
    assert found["boundary_iou"].value < found["miou"].value


def test_an_ignored_area_makes_no_boundary():
    truth = np.zeros((20, 20), int)
    truth[:, 10:] = 255
    found = results(2, [(np.zeros((20, 20), int), truth)], ignore=255)
    assert found["boundary_iou"].value == 1.0
    other = np.where(truth == 255, 1, 0)  # what is predicted where nothing is labeled is of no account
    assert results(2, [(other, truth)], ignore=255)["boundary_iou"].value == 1.0


def test_every_score_has_an_interval_over_regions():
    rng = np.random.default_rng(3)
    pairs = [(rng.integers(0, 3, (16, 16)), rng.integers(0, 3, (16, 16))) for _ in range(6)]
    for name, outcome in results(3, pairs).items():
        assert outcome.bounds is not None, name
        assert outcome.bounds.low <= outcome.value <= outcome.bounds.high, name


def test_miou_of_each_region_worst_first():
    right, half = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    found = results(2, [(right, right), (half, right), (right, np.full((1, 4), 9))], ignore=9)["miou"]
    assert found.detail["per_region"] == {"r1": pytest.approx((1 / 2 + 2 / 3) / 2), "r0": 1.0}
    assert list(found.detail["per_region"]) == ["r1", "r0"]


def test_of_many_regions_the_worst_are_kept(monkeypatch):
    from harness.metrics import miou as metric

    monkeypatch.setattr(metric, "MOST_REGIONS", 3)
    truth = np.zeros((1, 10), int)
    pairs = [(np.where(np.arange(10) < wrong, 1, 0)[None], truth) for wrong in range(8)]
    found = results(2, pairs)["miou"]
    assert list(found.detail["per_region"]) == ["r7", "r6", "r5"]
    assert found.detail["regions"] == 8


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


def test_the_interval_holds_the_value_and_needs_three_regions():
    rng = np.random.default_rng(0)
    regions = [rng.integers(1, 100, (3, 3)) for _ in range(12)]
    interval = miou_interval(regions, None)
    assert interval.low < miou(np.sum(regions, axis=0), None) < interval.high
    assert miou_interval(regions, None) == interval
    assert miou_interval(regions[:2], None) is None
    assert miou_interval([*regions[:2], np.zeros((3, 3), np.int64)], None) is None  # nothing labeled: no region
    assert miou_interval([*regions, np.zeros((3, 3), np.int64)], None) == interval


@pytest.mark.parametrize("freedom", [*range(1, 31), 99, 998])
def test_students_t_is_scipys(freedom):
    assert student(freedom, 0.95) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


def test_the_interval_of_a_plain_mean_is_students_on_the_logit_scale():
    """Of regions of equal size the share of hits is their mean, whose delete-one error is the textbook's."""
    hits = np.array([60, 75, 81, 90, 52])
    interval = interval_over_regions([np.array([count, 100]) for count in hits], lambda sums: sums[:, 0] / sums[:, 1])
    mean = hits.mean() / 100
    reach = stats.t.ppf(0.975, 4) * stats.sem(hits / 100) / (mean * (1 - mean))
    assert (interval.low, interval.high) == pytest.approx(special.expit(special.logit(mean) + np.array([-reach, reach])))


@pytest.mark.parametrize("hits", [(0, 0, 0), (9, 9, 9), (9, 9, 8), (0, 1, 0), (0, 9, 9)])
def test_bounds_are_shares_around_the_estimate(hits):
    interval = interval_over_regions([np.array([count, 9]) for count in hits], lambda sums: sums[:, 0] / sums[:, 1])
    assert 0 <= interval.low <= sum(hits) / 27 <= interval.high <= 1


def test_a_drop_between_models_may_have_either_sign():
    rng = np.random.default_rng(1)
    regions = [rng.integers(1, 100, (2, 3, 3)) for _ in range(4)]
    interval, swapped = drop_interval(regions, None), drop_interval([pair[::-1] for pair in regions], None)
    assert -1 <= interval.low < 0 < interval.high <= 1
    assert (swapped.low, swapped.high) == pytest.approx((-interval.high, -interval.low))


@pytest.mark.parametrize("regions", [3, 5, 8])
def test_an_interval_of_few_regions_holds_the_truth_nearly_as_often_as_it_says(regions):
    """Percentiles of a bootstrap do in 76 %, 86 % and 89 % of these."""
    rng = np.random.default_rng(regions)
    truth = miou(_drawn(rng, 20000).sum(axis=0), None)
    found = [miou_interval(list(_drawn(rng, regions)), None) for _ in range(400)]
    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.92


def _drawn(rng, regions):
    """Confusion matrices (regions, 2, 2) of 5000 px: shares of the classes and how often each is found differ by region."""
    ones = (5000 * rng.beta(1.2, 1.8, regions)).astype(int)
    zeros = 5000 - ones
    right = [rng.binomial(count, np.clip(rng.beta(8, 2, regions), 0.3, 0.99)) for count in (zeros, ones)]
    return np.moveaxis(np.array([[right[0], zeros - right[0]], [ones - right[1], right[1]]]), -1, 0)


def test_identical_regions_have_no_spread():
    interval = miou_interval([np.array([[5, 1], [2, 7]])] * 6, None)
    assert interval.low == interval.high
