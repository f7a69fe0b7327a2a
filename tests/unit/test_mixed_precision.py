"""The search for what stays in fp32: on graphs of figures whose answer is known, and on a real graph with one layer that int8 breaks."""

from dataclasses import replace

import numpy as np
import pytest

from harness.core.errors import DataError, ExportError
from harness.core.specs import TensorSpec
from harness.support.mixed_precision import Score, divergence, search
from harness.support.onnx_groups import Group, groups_of
from tests import builders
from tests.precision_graphs import fragile_graph, residual_graph

onnx = pytest.importorskip("onnx")

#: mIoU lost, and divergence, by each group in int8 alone; losses add up.
LOSSES = {"a": 0.001, "b": 0.03, "c": 0.0, "d": 0.004}
GROUPS = [Group(name, (name,), 100) for name in LOSSES]


def silent(done: int, total: int, what: str) -> None:
    assert done <= total


def additive(kept) -> Score:
    lost = sum(loss for name, loss in LOSSES.items() if name not in kept)
    return Score(lost, 10 * lost)


@pytest.mark.parametrize(
    ("limit", "kept", "lowered"),
    [(0.1, (), 1.0), (0.006, ("b",), 0.75), (0.002, ("b", "d"), 0.5), (0.0, ("b", "d", "a"), 0.25)],
)
def test_the_worst_stay_in_fp32_until_the_limit_holds(limit, kept, lowered):
    trade = search(GROUPS, additive, limit, silent)
    assert tuple(group.name for group in trade.kept) == kept
    assert trade.steps[-1].score.miou_drop <= limit or trade.steps[-1].action == "returned"
    fitting = [step.lowered for step in trade.steps if step.score.miou_drop <= limit]
    assert max(fitting) == pytest.approx(lowered)


def test_each_step_tells_what_it_cost():
    facts = search(GROUPS, additive, 0.002, silent).facts(GROUPS)
    assert [(step["action"], step["group"], round(step["miou_drop"], 6), step["lowered_macs"]) for step in facts["steps"]] == [
        ("none", "", 0.035, 1.0),
        ("kept", "b", 0.005, 0.75),
        ("kept", "d", 0.001, 0.5),
        ("returned", "b", 0.031, 0.75),
    ]
    assert [(row["group"], row["macs"]) for row in facts["sensitivity"]] == [(name, 0.25) for name in LOSSES]
    assert "2004.09602" in facts["method"]


def test_what_became_needless_is_lowered_again():
    """Both "b" and "d" are sensitive alone, but once "d" is in fp32 nothing more is lost."""

    def together(kept) -> Score:
        return Score(0.0 if "d" in kept else 0.02, additive(kept).divergence)

    trade = search(GROUPS, together, 0.005, silent)
    assert [group.name for group in trade.kept] == ["d"]
    assert [step.action for step in trade.steps] == ["none", "kept", "kept", "returned"]


def test_a_limit_that_nothing_meets_is_an_error_with_the_best_that_was_seen():
    with pytest.raises(ExportError, match=r"drop of 0.005.*the best of 4 mixtures drops 0.2500"):
        search(GROUPS, lambda kept: Score(0.5 - 0.25 * ("b" in kept), 1.0), 0.005, silent)


def test_divergence_is_kl_by_hand_and_knows_no_shift():
    """Two classes at 3:1 and 1:1: KL = 3/4 ln(3/2) + 1/4 ln(1/2)."""
    wanted = np.log(np.array([3.0, 1.0])).reshape(1, 2, 1, 1)
    even = np.zeros((1, 2, 1, 1))
    assert divergence(even, wanted) == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert divergence(wanted + 7, wanted) == pytest.approx(0.0, abs=1e-12)


IMAGE = (TensorSpec(name="image", shape=("batch", 1, 8, 8), dtype="float32"),)


@pytest.fixture
def planted(tmp_path):
    """The graph with one fragile layer as something to convert; its labels are what it decides in fp32."""
    pytest.importorskip("onnxruntime")
    from harness.support.agreement import Reference
    from harness.support.export_data import Context, Tiles
    from harness.support.onnx_convert import Conversion
    from harness.support.onnx_run import runner

    onnx.save(fragile_graph(), tmp_path / "source.onnx")
    images = np.random.default_rng(0).uniform(-1, 1, (4, 1, 8, 8)).astype(np.float32)
    logits = runner(tmp_path / "source.onnx")(images)
    tiles = Tiles(images, logits.argmax(1), ("a", "b", "c", "d"), "0" * 64)
    checkpoint = builders.checkpoint(classes=("plus", "minus"), ignore_index=None)
    context = Context("planted", None, tmp_path)
    return Conversion(tmp_path / "source.onnx", IMAGE, checkpoint, context, runner, Reference(tiles, logits), lambda count: tiles)


SETTINGS = {"per_channel": True, "weight_bits": 7, "calibration_tiles": 4, "calibration_method": "minmax", "activations": "int8"}


def test_int8_keeps_the_one_layer_that_it_breaks_and_no_other(planted, tmp_path):
    from harness.support.onnx_convert import converted

    facts = converted(planted, tmp_path / "mixed.onnx", "int8-static", {**SETTINGS, "max_miou_drop": 0.05})
    assert facts["kept_fp32"] == ["fragile"]
    trade = facts["mixed_precision"]
    damage = {row["group"]: row["kl_divergence"] for row in trade["sensitivity"]}
    assert max(damage, key=damage.get) == "fragile"
    assert trade["steps"][0]["miou_drop"] > 0.5
    assert trade["steps"][-1]["miou_drop"] <= 0.05
    # Multiply-adds by hand: before 1, fragile 2, after 1, head 2 per pixel.
    assert trade["steps"][-1]["lowered_macs"] == pytest.approx(4 / 6)
    assert trade["measured_on"] == "4 val tiles of planted"
    graph = onnx.load(tmp_path / "mixed.onnx").graph
    (fragile,) = [node for node in graph.node if node.name == "fragile"]
    assert fragile.input[0] == "sizes_apart", "its input is not quantized"


def test_a_layer_whose_lower_precision_gives_no_numbers_stays_in_fp32(planted, tmp_path):
    """It is the worst of all and no end of the search."""
    from harness.support.onnx_convert import converted

    def overflowing(path):
        run = planted.runner(path)
        (fragile,) = [node for node in onnx.load(path).graph.node if node.name == "fragile"]
        return run if fragile.input[0] == "sizes_apart" else lambda images: np.full_like(run(images), np.nan)

    facts = converted(replace(planted, runner=overflowing), tmp_path / "mixed.onnx", "int8-static", {**SETTINGS, "max_miou_drop": 0.05})
    assert facts["kept_fp32"] == ["fragile"]
    assert facts["mixed_precision"]["steps"][0]["miou_drop"] == 1.0


def test_the_same_search_gives_the_same_bytes_and_the_same_trade(planted, tmp_path):
    from harness.support.onnx_convert import converted

    asked = {**SETTINGS, "max_miou_drop": 0.05}
    first, second = (converted(planted, tmp_path / name, "int8-static", asked) for name in ("one.onnx", "two.onnx"))
    assert first == second
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_without_a_limit_nothing_is_searched(planted, tmp_path):
    from harness.support.onnx_convert import converted

    facts = converted(planted, tmp_path / "plain.onnx", "int8-static", {**SETTINGS, "max_miou_drop": 1.0})
    assert facts["kept_fp32"] == []
    assert "mixed_precision" not in facts


def test_each_calibration_method_gives_scales_of_its_own(planted, tmp_path):
    from harness.support.export_data import Tiles
    from harness.support.onnx_convert import converted

    # Some 20,000 values with tails: the 99.99th percentile lies below the largest.
    images = np.random.default_rng(1).normal(size=(300, 1, 8, 8)).astype(np.float32)
    many = Tiles(images, np.zeros((300, 8, 8), np.int64), (), "")
    made = []
    for method in ("minmax", "percentile", "entropy"):
        converted(
            replace(planted, calibration=lambda count: many),
            tmp_path / "plain.onnx",
            "int8-static",
            {**SETTINGS, "calibration_method": method, "max_miou_drop": 1.0},
        )
        made.append((tmp_path / "plain.onnx").read_bytes())
    assert len(set(made)) == 3


def test_fp16_is_searched_too(planted, tmp_path):
    """Nothing here breaks in fp16, so nothing but what touches raw pixels stays."""
    from harness.support.onnx_convert import converted

    facts = converted(planted, tmp_path / "half.onnx", "fp16", {"max_miou_drop": 0.01})
    assert facts["kept_fp32"] == []
    assert [step["action"] for step in facts["mixed_precision"]["steps"]] == ["none"]


@pytest.mark.parametrize(("precision", "read"), [("fp16", "runner"), ("bf16", "rounded_runner")])
def test_a_float_search_goes_through_every_group_whatever_reads_one_tensor_and_whatever_stays(planted, tmp_path, precision, read):
    """Two nodes of the residual in fp32 read what a third one gives in the lower precision; the one on pixels stays in fp32 in any case."""
    from harness.support import onnx_bf16, onnx_run
    from harness.support.onnx_convert import converted

    def breaking(path):
        """Says the opposite while "second" is in the lower precision."""
        run, graph = {**vars(onnx_run), **vars(onnx_bf16)}[read](path), onnx.load(path).graph
        (weight,) = [node.input[1] for node in graph.node if node.name == "second"]
        (kind,) = [tensor.data_type for tensor in graph.initializer if tensor.name == weight] or [0]
        return run if kind in (onnx.TensorProto.FLOAT, 0) else lambda images: -run(images)

    source = tmp_path / "residual.onnx"
    onnx.save(residual_graph(), source)
    logits = onnx_run.runner(source)(planted.reference.tiles.images)
    reference = replace(planted.reference, logits=logits)
    facts = converted(replace(planted, source=source, runner=breaking, reference=reference), tmp_path / "mixed.onnx", precision, {"max_miou_drop": 0.05})
    assert facts["mixed_precision"]["kept_groups"] == ["second"]
    assert "normalize" in facts["kept_fp32"]
    onnx.checker.check_model(str(tmp_path / "mixed.onnx"), full_check=True)


def test_a_limit_on_miou_without_labels_is_one_error(planted, tmp_path):
    from harness.support.onnx_convert import converted

    unlabeled = replace(planted.reference, tiles=replace(planted.reference.tiles, masks=np.full((4, 8, 8), -1)))
    with pytest.raises(DataError, match="no pixel of the val tiles of planted has a label"):
        converted(replace(planted, reference=unlabeled), tmp_path / "mixed.onnx", "int8-static", {**SETTINGS, "max_miou_drop": 0.05})
    assert not (tmp_path / "mixed.onnx").exists()


def test_many_nodes_are_grouped_by_module_or_by_neighborhood(tmp_path):
    model = onnx.load_from_string(fragile_graph().SerializeToString())
    onnx.save(model, tmp_path / "bare.onnx")
    names = ["before", "fragile", "after", "head"]
    assert [group.nodes for group in groups_of(tmp_path / "bare.onnx", IMAGE, names, most=2)] == [("before", "fragile"), ("after", "head")]
    assert [group.flops for group in groups_of(tmp_path / "bare.onnx", IMAGE, names)] == [2 * 64, 4 * 64, 2 * 64, 4 * 64]
    chain = [onnx.helper.make_node("Conv", [f"x{i}", "w"], [f"x{i + 1}"], name=f"conv{i}") for i in range(8)]
    for index, node in enumerate(chain):
        path = f"net.block{index // 2}"
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=str(["", "net", path, f"{path}.conv{index % 2}", "conv2d"]))
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 1, 8, 8]) for name in ("x0", "x8")]
    weight = onnx.numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")
    graph = onnx.helper.make_graph(chain, "chain", info[:1], info[1:], [weight])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), tmp_path / "chain.onnx")
    inputs = (TensorSpec(name="x0", shape=("batch", 1, 8, 8), dtype="float32"),)
    found = groups_of(tmp_path / "chain.onnx", inputs, [node.name for node in chain], most=6)
    assert [(group.name, len(group.nodes)) for group in found] == [(f"net.block{index}", 2) for index in range(4)]


def test_a_graph_that_gives_no_numbers_is_the_worst_of_all():
    good = np.zeros((1, 2, 3, 3), np.float32)
    assert divergence(np.full_like(good, np.nan), good) > divergence(good + np.array([30, -30], np.float32).reshape(1, 2, 1, 1), good)
