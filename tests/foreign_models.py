"""Small models as other people would bring them: written here by hand with ONNX's own helper, and with torch.export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.datasets.synthetic import SPECTRA

FLOAT = TensorProto.FLOAT


def nearest_color(*, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Weights (3, 4, 1, 1) and bias (3) whose largest score is the class with the nearest spectrum: 2 m.x - m.m."""
    means = np.asarray(SPECTRA, np.float32)
    return (2 * means * scale)[:, :, None, None].astype(np.float32), -(means**2).sum(1).astype(np.float32)


def write(path: Path, nodes, inputs, outputs, tensors, *, opset: int = 17) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(value, name) for name, value in tensors.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def info(name: str, shape, kind: int = FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def segmenter(path: Path, *, batch="n", side="s", layout: str = "NCHW", scale: float = 1.0, weights: np.ndarray | None = None, opset: int = 17) -> Path:
    """The nearest-color classifier over maps; `scale` stands for a graph that wants its input divided before."""
    own, bias = nearest_color(scale=scale)
    tensors = {"w": own if weights is None else weights, "b": bias}
    if layout == "NCHW":
        nodes = [helper.make_node("Conv", ["image", "w", "b"], ["y"], name="head")]
        return write(path, nodes, [info("image", [batch, 4, side, side])], [info("y", [batch, 3, side, side])], tensors, opset=opset)
    nodes = [
        helper.make_node("Transpose", ["image"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w", "b"], ["u"]),
        helper.make_node("Transpose", ["u"], ["y"], perm=[0, 2, 3, 1]),
    ]
    return write(path, nodes, [info("image", [batch, side, side, 4])], [info("y", [batch, side, side, 3])], tensors, opset=opset)


def decider(path: Path) -> Path:
    """A segmenter with its argmax inside: class indices (n, s, s) come out."""
    weights, bias = nearest_color()
    nodes = [helper.make_node("Conv", ["image", "w", "b"], ["u"]), helper.make_node("ArgMax", ["u"], ["y"], axis=1, keepdims=0)]
    return write(path, nodes, [info("image", ["n", 4, 64, 64])], [info("y", ["n", 64, 64], TensorProto.INT64)], {"w": weights, "b": bias})


def classifier(path: Path) -> Path:
    """Two inputs, an image and a table index, of fixed batch 2; an old opset."""
    tensors = {"w": np.ones((5, 3, 1, 1), np.float32), "table": np.ones((2, 5), np.float32)}
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"]),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gather", ["table", "place"], ["e"]),
        helper.make_node("Add", ["f", "e"], ["y"]),
    ]
    return write(path, nodes, [info("image", [2, 3, 32, 32]), info("place", [2], TensorProto.INT64)], [info("y", [2, 5])], tensors, opset=11)


def with_sides(path: Path, constant: tuple[int, ...] = (), image: tuple[int, ...] = ()) -> Path:
    """The file with other sizes written over those of its first constant or its input."""
    model = onnx.load(path)
    if constant:
        model.graph.initializer[0].dims[:] = constant
    for side, size in zip(model.graph.input[0].type.tensor_type.shape.dim, image, strict=False):
        side.dim_value = size
    path.write_bytes(model.SerializeToString())
    return path


def with_external_weights(path: Path, location: str) -> Path:
    """The segmenter with its weights in another file, wherever `location` says; the file is not written."""
    model = onnx.load(segmenter(path))
    tensor = model.graph.initializer[0]
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def weights_file(path: Path) -> Path:
    path.write_bytes(nearest_color()[0].tobytes())
    return path
