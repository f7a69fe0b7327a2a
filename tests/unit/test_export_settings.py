"""What an artifact says of its export's settings."""

import pytest

from harness.core.artifact import FOREIGN, Artifact
from harness.support.export_settings import variant_of
from tests.builders import checkpoint

UINT8, INT8 = {"activations": "uint8"}, {"activations": "int8"}


@pytest.mark.parametrize(
    ("form", "options", "said"),
    [
        ("onnx", {"opset": 20, "quantized": 117, **INT8, "max_miou_drop": 1.0}, ""),
        ("onnx", {**UINT8, "max_miou_drop": 0.005}, "activations uint8, max_miou_drop 0.005"),
        ("onnx", {"opset": 23}, "opset 23"),
        ("openvino", UINT8, ""),
        ("openvino", {"opset": 23, **UINT8}, "opset 23"),
        ("openvino", INT8, "activations int8"),
        ("tensorrt", {**INT8, "opt_batch": 4, "tensorrt": "11.0"}, "opt_batch 4"),
        ("checkpoint", {"per_channel": False}, ""),
    ],
)
def test_settings_that_are_not_the_exporters_defaults_are_the_variant(form, options, said):
    assert variant_of(made(form, options)) == said


@pytest.mark.parametrize(("form", "opset", "said"), [("onnx", 22, ""), ("tensorrt", 22, ""), ("openvino", 20, ""), ("onnx", 23, "opset 23")])
def test_bf16_graphs_are_of_an_opset_of_their_own(form, opset, said):
    assert variant_of(made(form, {"opset": opset}).model_copy(update={"precision": "bf16"})) == said


def test_a_model_that_was_not_exported_here_has_no_settings():
    assert variant_of(made("onnx", {"opset": {"ai.onnx": 17}, "ir_version": 8}, regime=FOREIGN)) == ""


def made(form: str, options: dict, **fields) -> Artifact:
    facts = {"file": "m", "sha256": "0" * 64, "size": 1, "inputs": (), "outputs": (), "checkpoint": checkpoint(**fields), "checkpoint_sha256": "1" * 64}
    return Artifact(format=form, precision="int8-static", options=options, **facts)
