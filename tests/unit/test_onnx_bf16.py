"""Graphs in bfloat16: what is lowered, how constants are rounded, and that the judge rounds every result."""

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.core.errors import ExportError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from harness.support.onnx_bf16 import lowerable, rounded, rounded_runner, to_bf16  # noqa: E402

#: Ones plus some of the 8 bits that bfloat16 drops next, and what is nearest, ties to even.
ROUNDED = {1 + 2**-9: 1.0, 1 + 2**-8: 1.0, 1 + 3 * 2**-8: 1 + 2**-6, 1 + 2**-7: 1 + 2**-7, 1e38: 9.969209968386869e37}


def graph(path: Path, nodes, constants, *, opset: int = 22) -> Path:
    """A graph from "image" (batch, 1, 4, 4) to "logits"."""
    shape = ["batch", 1, 4, 4]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return path


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], name=output, **attributes)


def conv(source: str, output: str):
    return node("Conv", [source, "weight"], output)


def weight(value: float) -> np.ndarray:
    return np.full((1, 1, 1, 1), value, np.float32)


def test_constants_are_rounded_as_pytorch_rounds_them(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**32, 4000, dtype=np.uint32).view(np.float32).reshape(1, 1, 50, 80).copy()
    values.flat[:6] = [np.inf, -np.inf, np.nan, np.finfo(np.float32).max, 1e-45, -0.0]
    source = graph(tmp_path / "m.onnx", [conv("image", "a"), node("Add", ["a", "values"], "logits")], {"weight": weight(1), "values": values})
    to_bf16(source, tmp_path / "b.onnx")
    held = next(tensor for tensor in onnx.load(tmp_path / "b.onnx").graph.initializer if tensor.name == "values_bf16")
    wanted = torch.from_numpy(values).bfloat16()
    ours = torch.frombuffer(bytearray(held.raw_data), dtype=torch.bfloat16).reshape(values.shape)
    assert torch.equal(ours.isnan(), wanted.isnan())
    assert torch.equal(ours.nan_to_num(0), wanted.nan_to_num(0))


@pytest.mark.parametrize(("value", "nearest"), ROUNDED.items())
def test_the_judge_rounds_what_goes_in_and_what_comes_out(value, nearest, tmp_path):
    source = graph(tmp_path / "m.onnx", [conv("image", "logits")], {"weight": weight(1)})
    to_bf16(source, tmp_path / "b.onnx")
    image = np.full((1, 1, 4, 4), value, np.float32)
    assert (rounded_runner(tmp_path / "b.onnx")(image) == np.float32(nearest)).all()
    # 1.0078125 is held exactly; 0.5078125 times it is not.
    source = graph(tmp_path / "m.onnx", [conv("image", "logits")], {"weight": weight(1.0078125)})
    to_bf16(source, tmp_path / "b.onnx")
    product = rounded_runner(tmp_path / "b.onnx")(np.full((1, 1, 4, 4), 0.5078125, np.float32))
    assert (product == (torch.tensor(0.5078125).bfloat16() * torch.tensor(1.0078125).bfloat16()).float().item()).all()


def test_every_result_is_rounded_as_the_onnx_reference_rounds_it(tmp_path):
    from onnx.reference import ReferenceEvaluator

    rng = np.random.default_rng(1)
    constants = {"weight": weight(0.7), "matrix": rng.normal(size=(4, 4)).astype(np.float32), "bias": np.float32([0.1, 0.2, 0.3, 0.4])}
    nodes = [conv("image", "a"), node("Sigmoid", ["a"], "b"), node("MatMul", ["b", "matrix"], "c"), node("Add", ["c", "bias"], "logits")]
    to_bf16(graph(tmp_path / "m.onnx", nodes, constants), tmp_path / "b.onnx")
    image = rng.normal(size=(3, 1, 4, 4)).astype(np.float32)
    (reference,) = ReferenceEvaluator(str(tmp_path / "b.onnx")).run(None, {"image": image})
    ours = rounded_runner(tmp_path / "b.onnx")(image)
    assert ours.shape == reference.shape
    np.testing.assert_allclose(ours, reference, rtol=2**-6, atol=2**-7)
    assert (ours.view(np.uint32) & 0xFFFF == 0).all()


def test_what_works_on_pixels_or_sizes_and_what_tensorrt_does_not_take_stays(tmp_path):
    nodes = [
        node("Sub", ["image", "mean"], "centered"),
        conv("centered", "a"),
        node("HardSwish", ["a"], "b"),
        conv("b", "c"),
        node("ConvTranspose", ["c", "twice"], "d", strides=[2, 2], kernel_shape=[2, 2]),
        conv("d", "e"),
        node("Shape", ["e"], "sizes"),
        node("Cast", ["sizes"], "numbers", to=TensorProto.FLOAT),
        node("ReduceMax", ["numbers"], "largest", keepdims=0),
        node("Cast", ["largest"], "count", to=TensorProto.INT64),
        node("Resize", ["e", "", "scales"], "f", mode="nearest"),
        node("Relu", ["f"], "g"),
        node("Softmax", ["g"], "logits", axis=1),
        node("Identity", ["count"], "unused"),
    ]
    constants = {"mean": np.float32(0.5), "weight": weight(1), "twice": np.ones((1, 1, 2, 2), np.float32), "scales": np.float32([1, 1, 2, 2])}
    stay = to_bf16(graph(tmp_path / "m.onnx", nodes, constants), tmp_path / "b.onnx", kept=["g"])
    assert stay == ["b", "centered", "count", "d", "g", "largest", "numbers"]
    model = onnx.load(tmp_path / "b.onnx")
    onnx.checker.check_model(model, full_check=True)
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    assert kinds["scales"] == kinds["mean"] == kinds["twice"] == TensorProto.FLOAT
    assert kinds["weight_bf16"] == TensorProto.BFLOAT16
    assert "weight" not in kinds
    assert rounded_runner(tmp_path / "b.onnx")(np.ones((2, 1, 4, 4), np.float32)).shape == (2, 1, 16, 16)


def test_what_follows_a_group_norm_is_rounded_though_onnx_does_not_infer_its_type(tmp_path):
    class Normed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = torch.nn.Conv2d(3, 8, 3), torch.nn.GroupNorm(2, 8), torch.nn.Conv2d(8, 2, 1)

        def forward(self, image):
            return self.last(torch.relu(self.norm(self.first(image))))

    program = torch.onnx.export(Normed().eval(), (torch.randn(1, 3, 8, 8),), dynamo=True, opset_version=22, input_names=["image"], verbose=False)
    program.save(str(tmp_path / "m.onnx"))
    assert to_bf16(tmp_path / "m.onnx", tmp_path / "b.onnx") == []
    model = onnx.load(tmp_path / "b.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert "GroupNormalization" in {one.op_type for one in model.graph.node}
    declared = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    assert {declared[name] for one in model.graph.node for name in one.output if one.op_type not in ("Cast",)} == {TensorProto.BFLOAT16}
    assert sum(one.name.endswith("_rounded") for one in rounded(model).graph.node) == 5
    logits = rounded_runner(tmp_path / "b.onnx")(np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32))
    assert (logits.view(np.uint32) & 0xFFFF == 0).all()


def test_what_was_a_double_is_lowered_and_what_was_an_integer_is_not(tmp_path):
    nodes = [
        conv("image", "a"),
        node("Cast", ["a"], "wide", to=TensorProto.DOUBLE),
        node("Cast", ["wide"], "b", to=TensorProto.FLOAT),
        conv("b", "c"),
        node("ArgMax", ["c"], "indices", axis=1),
        node("Cast", ["indices"], "numbers", to=TensorProto.FLOAT),
        node("Mul", ["numbers", "weight"], "scaled"),
        node("Add", ["c", "scaled"], "logits"),
    ]
    source = graph(tmp_path / "m.onnx", nodes, {"weight": weight(1)})
    assert to_bf16(source, tmp_path / "b.onnx") == ["b", "indices", "numbers", "scaled", "wide"]
    assert lowerable(source) == ["a", "c", "logits"]


def test_types_are_inferred_without_the_values_of_large_weights_which_protobuf_may_not_hold_at_once(tmp_path, monkeypatch):
    from harness.support.export_data import Tiles
    from harness.support.onnx_fp16 import largest_values, to_fp16

    whole = onnx.shape_inference.infer_shapes
    monkeypatch.setattr(
        onnx.shape_inference, "infer_shapes", lambda model, **how: whole(model, **how) if model.ByteSize() < 2**17 else pytest.fail("too large")
    )
    wide = np.random.default_rng(0).normal(size=(4, 2**15)).astype(np.float32)
    nodes = [conv("image", "a"), node("MatMul", ["a", "wide"], "b"), node("ReduceMax", ["b"], "logits", keepdims=1)]
    source = graph(tmp_path / "m.onnx", nodes, {"weight": weight(1), "wide": wide})
    assert to_bf16(source, tmp_path / "b.onnx") == []
    image = np.ones((1, 1, 4, 4), np.float32)
    assert np.isfinite(rounded_runner(tmp_path / "b.onnx")(image)).all()
    assert to_fp16(source, tmp_path / "h.onnx", largest_values(source, Tiles(image, np.zeros((1, 4, 4), np.int64), ("one",), ""))) == []
    assert (tmp_path / "h.onnx").stat().st_size < 0.6 * source.stat().st_size


def test_a_tensor_is_cast_once_for_all_that_read_it(tmp_path):
    nodes = [conv("image", "a"), node("Relu", ["a"], "b"), node("HardSwish", ["a"], "c"), node("Mish", ["a"], "d"), node("Sum", ["b", "c", "d"], "logits")]
    to_bf16(graph(tmp_path / "m.onnx", nodes, {"weight": weight(1)}), tmp_path / "b.onnx")
    casts = [one.output[0] for one in onnx.load(tmp_path / "b.onnx").graph.node if one.op_type == "Cast"]
    assert sorted(casts) == ["a", "c_bf16", "d_bf16", "image_bf16", "logits"]


def test_branches_and_an_opset_without_bf16_convolutions_are_refused(tmp_path):
    source = graph(tmp_path / "m.onnx", [conv("image", "logits")], {"weight": weight(1)}, opset=20)
    with pytest.raises(ExportError, match="opset 20"):
        to_bf16(source, tmp_path / "b.onnx")
    branch = helper.make_graph([node("Identity", ["image"], "out")], "g", [], [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)])
    nodes = [node("If", ["is_so"], "logits", then_branch=branch, else_branch=branch)]
    with pytest.raises(ExportError, match="branches"):
        to_bf16(graph(tmp_path / "m.onnx", nodes, {"is_so": np.bool_(True)}), tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()


def test_the_judge_s_graph_holds_no_bfloat16_but_between_casts(tmp_path):
    to_bf16(graph(tmp_path / "m.onnx", [conv("image", "a"), node("Relu", ["a"], "logits")], {"weight": weight(1)}), tmp_path / "b.onnx")
    model = rounded(onnx.load(tmp_path / "b.onnx"))
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    narrow = {value.name for value in inferred.graph.value_info if value.type.tensor_type.elem_type == TensorProto.BFLOAT16}
    assert narrow == {name for one in model.graph.node if one.op_type == "Cast" for name in one.output if name.endswith("_rounded")}
    assert len(narrow) == 3
