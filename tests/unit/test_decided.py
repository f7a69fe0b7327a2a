"""What is scored of a model's outputs, and what two models decide on the same tiles: by hand, with NaN, and what is no decision."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.core.errors import MeasurementError
from harness.core.specs import TensorSpec, Tile
from harness.probes.accuracy import PROBE as ACCURACY
from harness.probes.parity import PROBE
from harness.profiling.decisions import compare_decisions
from harness.support.layout import gives_class_indices, logits_from
from harness.support.scenes import parts_of


def foreign(classes=2, side=2, *outputs):
    checkpoint = SimpleNamespace(num_classes=classes, is_foreign=True, input_size=side, classes=tuple("abcdef"[:classes]), ignore_index=None)
    return SimpleNamespace(checkpoint=checkpoint, outputs=outputs)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float32"])
def test_a_map_of_class_indices_of_any_type_is_scored(dtype):
    indices = np.array([[[0, 1], [1, 0]]])
    np.testing.assert_array_equal(logits_from([indices.astype(dtype)], foreign(), (2, 2)).argmax(1), indices)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[0.2, 0.9], [0.7, 0.1]], "holds 0.1 to 0.9, where class indices are whole numbers from 0 to 1"),
        ([[0, 1], [2, 0]], "holds 0 to 2"),
        ([[0, 1], [-1, 0]], "holds -1 to 1"),
        ([[0, np.nan], [1, 0]], "holds nan to nan"),
    ],
)
def test_a_map_of_anything_else_is_refused_with_its_range(values, said):
    with pytest.raises(MeasurementError, match=said):
        logits_from([np.array([values], np.float32)], foreign(), (2, 2))


@pytest.mark.parametrize(
    ("outputs", "decides"),
    [
        ([("float32", ("n", 2, 2))], True),
        ([("int64", ("n", 2, 2))], True),
        ([("float32", ("n", 3, 2, 2))], False),
        ([("float32", ("n", 3, "?", "?"))], False),
        ([("int64", ("n", 7)), ("float32", ("n", 3, 2, 2))], False),
        ([("float32", ("n", 7)), ("float32", ("n", "?", "?"))], True),
    ],
)
def test_how_sure_a_model_is_is_unknown_where_a_map_of_indices_is_scored(outputs, decides):
    specs = [TensorSpec(name=f"y{number}", shape=shape, dtype=dtype) for number, (dtype, shape) in enumerate(outputs)]
    assert gives_class_indices(foreign(3, 2, *specs)) is decides


def logits(decided):
    return np.moveaxis(np.eye(2, dtype=np.float32)[np.asarray(decided)], -1, 0)


def parity(folder, pairs):
    """Outcomes by quantity for (region, decided, wanted) maps whose truth is what is wanted."""
    predictions = []
    for number, (region, decided, wanted) in enumerate(pairs):
        np.save(folder / f"{number}.npy", logits(wanted))
        predictions.append((Tile(f"t{number}", np.zeros((3, *np.shape(wanted)), np.float32), np.asarray(wanted), region=region), decided))
    subject = SimpleNamespace(reference=folder, no_reference="", artifact=foreign(), predictions=lambda: iter(predictions), pictures=folder, dataset=None)
    return {outcome.quantity: outcome for outcome in PROBE.measure(subject)}


def test_agreement_is_a_share_of_pixels_not_a_mean_over_tiles_and_has_an_interval(tmp_path):
    same, other = np.array([[0, 1] * 4]), np.array([[1, 0]])
    pairs = [(f"r{number}", logits(same), same) for number in range(3)]
    found = parity(tmp_path, [*pairs, ("r3", logits(1 - other), other)])
    agreement, drop = found["argmax_agreement"], found["miou_drop"]
    assert agreement.value == 24 / 26
    assert agreement.bounds.low < 24 / 26 < agreement.bounds.high <= 1
    assert drop.value == pytest.approx(1 - 12 / 14)
    assert drop.bounds.low < drop.value < drop.bounds.high
    assert "4 regions" in drop.bounds.method


def test_parity_with_two_regions_has_no_interval(tmp_path):
    same = np.array([[0, 1]])
    found = parity(tmp_path, [("a", logits(same), same), ("b", logits(same), same)])
    assert found["argmax_agreement"].value == 1.0
    assert found["argmax_agreement"].bounds is None
    assert found["miou_drop"].bounds is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_no_decision(tmp_path, value):
    same = np.array([[0, 1]])
    broken = np.full((2, 1, 2), value, np.float32)
    with pytest.raises(MeasurementError, match="the logits of tile t1 hold NaN or infinity"):
        parity(tmp_path, [("a", logits(same), same), ("b", broken, same)])
    (tmp_path / "new").mkdir()
    np.save(tmp_path / "new" / "0.npy", broken)
    tile = Tile("t0", np.zeros((3, 1, 2), np.float32), same, region="a")
    with pytest.raises(MeasurementError, match="the logits of tile t0 hold NaN or infinity"):
        compare_decisions([tile], tmp_path, tmp_path / "new", 2, None)


@pytest.mark.parametrize(("side", "blocks"), [(4, None), (1030, 4)])
def test_scores_of_a_scene_say_that_their_images_are_blocks(side, blocks):
    mask = np.indices((side, side)).sum(0) % 2
    scene = Tile("scene", np.zeros((1, side, side), np.float32), mask, region="r")
    predictions = [(part, logits(part.mask)) for part in parts_of(scene)]
    spec = SimpleNamespace(name="toy", baselines={})
    subject = SimpleNamespace(artifact=foreign(), dataset=spec, predictions=lambda: iter(predictions), profile=SimpleNamespace(split="test"))
    found = {outcome.quantity: outcome for outcome in ACCURACY.measure(subject)}
    assert found["miou_per_image"].detail["images"] == found["miou"].detail["tiles"] == (blocks or 1)
    assert found["miou"].detail.get("blocks") == blocks
    assert found["miou"].value == 1.0
