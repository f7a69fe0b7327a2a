"""Small ONNX graphs for tests of precisions."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model_of(nodes: Sequence[onnx.NodeProto], constants: Mapping[str, np.ndarray], *, side: int, logits: Sequence[int | None], opset: int) -> onnx.ModelProto:
    """A graph from "image" (batch, 1, side, side) to "logits" (batch, *logits); constants become fp32."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", *logits])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def overflowing_graph() -> tuple[onnx.ModelProto, set[str]]:
    """A convolution, values of 4e9 between two scalings, an epsilon of 1e-12; and the names of the nodes that fp16 can't hold."""
    constants = {"weight": np.ones((1, 1, 1, 1)), "large": np.array(2e9), "epsilon": np.array(1e-12), "two": np.array(2.0)}
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["a"], name="conv"),
        helper.make_node("Mul", ["a", "large"], ["b"], name="grow"),
        helper.make_node("Sqrt", ["b"], ["c"], name="root"),
        helper.make_node("Relu", ["c"], ["d"], name="relu"),
        helper.make_node("Add", ["d", "epsilon"], ["e"], name="shift"),
        helper.make_node("Div", ["e", "e"], ["one"], name="ratio"),
        helper.make_node("Mul", ["one", "two"], ["f"], name="double"),
        helper.make_node("Conv", ["f", "weight"], ["logits"], name="last"),
    ]
    # 2e9 * (1 to 2) overflows in "b"; its root, 4.5e4 to 6.4e4, is beyond half of fp16's range in "c", "d" and "e".
    return model_of(nodes, constants, side=4, logits=(1, 4, 4), opset=20), {"grow", "root", "relu", "shift", "ratio"}


def half_graph(model: onnx.ModelProto, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Outputs of the graph: in fp32, plainly converted to fp16, converted by us; and the nodes that we kept in fp32.

    The reference evaluator rounds every value to its type; ONNX Runtime on a CPU computes fp16 nodes in fp32, so nothing overflows there.
    """
    from onnx.reference import ReferenceEvaluator
    from onnxruntime.transformers.float16 import convert_float_to_float16

    from harness.support.export_data import Tiles
    from harness.support.onnx_fp16 import largest_values, sort_nodes, to_fp16

    with tempfile.TemporaryDirectory() as folder:
        source, plain, ours = (Path(folder) / name for name in ("source.onnx", "plain.onnx", "ours.onnx"))
        onnx.save(model, source)
        half = convert_float_to_float16(onnx.load(source), keep_io_types=True)
        sort_nodes(half)
        onnx.save(half, plain)
        kept = to_fp16(source, ours, largest_values(source, Tiles(image, np.zeros((1, 4, 4), np.int64), ("one",), "")))
        onnx.checker.check_model(str(ours), full_check=True)
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = [ReferenceEvaluator(str(path)).run(None, {"image": image})[0] for path in (source, plain, ours)]
        return (*outputs, kept)


def fragile_graph() -> onnx.ModelProto:
    """Four convolutions, whose logits are the signal and its negative. Int8 breaks "fragile" alone: beside the signal it reads 1,000 times the
    signal, with weight 0, so the step of its input's scale is larger than the signal.
    """
    weights = {
        "keep_weight": np.ones((1, 1, 1, 1)),
        "sizes": np.array([1.0, 1000.0]).reshape(1, 2, 1, 1),
        "first_of_two": np.array([1.0, 0.0]).reshape(1, 2, 1, 1),
        "both_signs": np.array([1.0, -1.0]).reshape(2, 1, 1, 1),
    }
    nodes = [
        helper.make_node("Conv", ["image", "keep_weight"], ["signal"], name="before"),
        helper.make_node("Mul", ["signal", "sizes"], ["sizes_apart"], name="spread"),
        helper.make_node("Conv", ["sizes_apart", "first_of_two"], ["again"], name="fragile"),
        helper.make_node("Conv", ["again", "keep_weight"], ["kept"], name="after"),
        helper.make_node("Conv", ["kept", "both_signs"], ["logits"], name="head"),
    ]
    return model_of(nodes, weights, side=8, logits=(2, 8, 8), opset=20)


def residual_graph() -> onnx.ModelProto:
    """Pixels less their mean, a convolution, and one beside a shortcut that reads what it reads; the logits are the signal and its negative."""
    weights = {"mean": np.zeros(1), "weight": np.ones((1, 1, 1, 1)), "both_signs": np.array([1.0, -1.0]).reshape(2, 1, 1, 1)}
    nodes = [
        helper.make_node("Sub", ["image", "mean"], ["pixels"], name="normalize"),
        helper.make_node("Conv", ["pixels", "weight"], ["a"], name="first"),
        helper.make_node("Identity", ["a"], ["b"], name="same"),
        helper.make_node("Conv", ["b", "weight"], ["c"], name="second"),
        helper.make_node("Add", ["b", "c"], ["d"], name="join"),
        helper.make_node("Conv", ["d", "both_signs"], ["logits"], name="head"),
    ]
    return model_of(nodes, weights, side=8, logits=(2, 8, 8), opset=22)
