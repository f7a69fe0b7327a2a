"""Bytes of weights by part, against files of known tensors."""

import numpy as np
from onnx import helper
from safetensors.numpy import save_file

from harness.support.onnx_layers import SCOPES
from harness.support.weight_parts import weights_of_checkpoint, weights_of_onnx
from tests.foreign_models import info, write


def test_weights_of_a_checkpoint_are_named_by_their_part(tmp_path):
    tensors = {
        "encoder.conv.weight": np.zeros((4, 3), np.float32),
        "decoder.neck.0.weight": np.zeros(5, np.float16),
        "decoder.head.bias": np.zeros(2, np.int64),
        "mean": np.zeros(3, np.float32),
    }
    save_file(tensors, tmp_path / "w.safetensors", metadata={"made": "here"})
    found = weights_of_checkpoint(tmp_path / "w.safetensors")
    assert found == {"encoder": 48, "neck": 10, "decoder": 16, "other": 12}


def test_a_weight_without_a_name_belongs_to_the_module_that_it_reaches(tmp_path):
    """`val_1` is quantized: it reaches the product of the decoder through a node of no module."""
    nodes = [
        helper.make_node("MatMul", ["x", "encoder.fc.weight"], ["h"], name="first"),
        helper.make_node("DequantizeLinear", ["val_1", "scale"], ["w"], name="added"),
        helper.make_node("MatMul", ["h", "w"], ["y"], name="second"),
    ]
    for node, scopes in zip(nodes[::2], ("['', 'encoder', 'encoder.fc', 'linear']", "['', 'decoder', 'decoder.head', 'linear']"), strict=True):
        node.metadata_props.add(key=SCOPES, value=scopes)
    tensors = {
        "encoder.fc.weight": np.zeros((8, 4), np.float32),
        "val_1": np.zeros((4, 2), np.int8),
        "scale": np.ones((), np.float32),
        "unread": np.zeros(3, np.float32),
    }
    write(tmp_path / "m.onnx", nodes, [info("x", [1, 8])], [info("y", [1, 2])], tensors)
    assert weights_of_onnx(tmp_path / "m.onnx") == {"encoder": 128, "decoder": 12, "other": 12}
