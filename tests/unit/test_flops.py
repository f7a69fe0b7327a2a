"""FLOPs against counts by hand, and the two counters against each other on real networks."""

from types import SimpleNamespace

import onnx
import pytest
import timm
import torch
from onnx import TensorProto, helper
from torch import nn

from harness.core.errors import MeasurementError
from harness.core.specs import TensorSpec
from harness.support.aten_flops import flops_of_pt2
from harness.support.flops import count_flops, flops_if_known
from harness.support.graph_flops import flops_of_onnx
from harness.support.module_flops import flops_of_module


def meta(name, size=224, channels=3):
    with torch.device("meta"):
        return count_flops(timm.create_model(name, pretrained=False).eval(), torch.empty(1, channels, size, size))


@pytest.mark.parametrize(("name", "macs"), [("vit_base_patch16_224", 17_563_828_224), ("resnet50", 4_089_184_256)])
def test_published_models_have_the_exact_count(name, macs):
    assert meta(name) == 2 * macs


def test_attention_is_counted_by_hand():
    class Attend(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    for device in ("cpu", "meta"):
        assert count_flops(Attend(), torch.ones(2, 3, 10, 16, device=device)) == 4 * 2 * 3 * 10 * 10 * 16


def test_a_multi_head_attention_layer_is_counted_by_hand():
    layer = nn.MultiheadAttention(32, 4, batch_first=True).eval()

    class Self(nn.Module):
        def forward(self, x):
            return layer(x, x, x, need_weights=False)[0]

    length, width = 10, 32
    assert count_flops(Self(), torch.ones(1, length, width)) == 2 * length * 4 * width * width + 4 * length * length * width


class Products(nn.Module):
    """A matrix times a vector, which PyTorch's counter takes for 0."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(6, 64))

    def forward(self, x):
        return torch.mv(self.weight, x[0])


def test_a_matrix_times_a_vector_is_counted_as_it_is_for_any_module():
    assert count_flops(Products().to("meta"), torch.empty(1, 64, device="meta")) == flops_of_module(Products(), (1, 64)) == 2 * 6 * 64


class Unruled(nn.Module):
    def forward(self, image):
        return torch.cholesky_inverse(image[0, 0]), self.encoder(image)

    def __init__(self):
        super().__init__()
        self.encoder = nn.Identity()
        self.band_plan = SimpleNamespace(bands=("a",))

    def padded_side(self, size):
        return size


def test_an_operator_without_a_rule_is_named_and_no_hindrance_to_an_export():
    with pytest.raises(MeasurementError, match="no FLOP rule for operators cholesky_inverse in Unruled"):
        count_flops(Unruled(), torch.ones(1, 1, 8, 8))
    assert flops_if_known(Unruled(), 1, 8) == {}


def test_a_program_at_another_size_than_it_was_recorded_with_has_no_count(tmp_path):
    sides = {2: torch.export.Dim("h", min=4, max=64)}
    program = torch.export.export(nn.Conv2d(3, 5, 1).eval(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=(sides,))
    torch.export.save(program, tmp_path / "m.pt2")
    image = TensorSpec(name="x", shape=("batch", 3, 8, 8), dtype="float32")
    assert flops_of_pt2(tmp_path / "m.pt2", [image]) == {"conv2d": 2 * 3 * 5 * 8 * 8}
    with pytest.raises(MeasurementError, match="another size than the one that it runs with: 2x3x8x8 and batchx3x16x8"):
        flops_of_pt2(tmp_path / "m.pt2", [image.model_copy(update={"shape": ("batch", 3, 16, 8)})])
    (tmp_path / "m.pt2").write_text("no archive")
    with pytest.raises(MeasurementError, match="cannot load"):
        flops_of_pt2(tmp_path / "m.pt2", [image])


def graph(nodes, inputs, output, initializers=(), opset=20):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    weights = [helper.make_tensor(name, TensorProto.FLOAT, shape, [0.0] * torch.Size(shape).numel()) for name, shape in dict(initializers).items()]
    return helper.make_model(helper.make_graph(nodes, "g", values, outputs, weights), opset_imports=[helper.make_opsetid("", opset)])


def counted(tmp_path, model, **shapes):
    onnx.save(model, tmp_path / "m.onnx")
    return flops_of_onnx(tmp_path / "m.onnx", [TensorSpec(name=name, shape=shape, dtype="float32") for name, shape in shapes.items()])


CASES = {
    "conv": ([helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])], {"w": [8, 3, 3, 3]}, {"Conv": 2 * 8 * 3 * 9 * 100}),
    "grouped conv": ([helper.make_node("Conv", ["x", "w"], ["y"], group=3)], {"w": [3, 1, 3, 3]}, {"Conv": 2 * 3 * 9 * 64}),
    "strided conv": ([helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2])], {"w": [8, 3, 2, 2]}, {"Conv": 2 * 8 * 3 * 4 * 25}),
    "transposed conv": ([helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])], {"w": [3, 8, 2, 2]}, {"ConvTranspose": 2 * 8 * 3 * 4 * 100}),
    "matrix product": ([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": [10, 7]}, {"MatMul": 2 * 3 * 10 * 10 * 7}),
    "einsum": ([helper.make_node("Einsum", ["x", "w"], ["y"], equation="bchw,wk->bchk")], {"w": [10, 7]}, {"Einsum": 2 * 3 * 10 * 10 * 7}),
    "element-wise": ([helper.make_node("Relu", ["x"], ["y"])], {}, {}),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_operator_by_hand_with_a_symbolic_batch(tmp_path, case):
    nodes, weights, wanted = CASES[case]
    assert counted(tmp_path, graph(nodes, {"x": ["batch", 3, 10, 10]}, "y", weights), x=("batch", 3, 10, 10)) == wanted


def test_attention_operator_by_hand(tmp_path):
    model = graph([helper.make_node("Attention", ["x", "x", "x"], ["y"])], {"x": ["batch", 3, 10, 16]}, "y", opset=23)
    assert counted(tmp_path, model, x=("batch", 3, 10, 16)) == {"Attention": 4 * 3 * 10 * 10 * 16}


def test_an_operator_without_a_rule_is_an_error_that_names_the_node(tmp_path):
    model = graph([helper.make_node("Det", ["x"], ["y"], name="odd one")], {"x": [1, 3, 10, 10]}, "y")
    with pytest.raises(MeasurementError, match=r"Det.*odd one"):
        counted(tmp_path, model, x=(1, 3, 10, 10))


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto", "mobilenetv3_small_100"])
def test_the_exported_graph_and_the_network_have_the_same_count(tmp_path, name):
    network = timm.create_model(name, pretrained=False).eval()
    with torch.no_grad():
        program = torch.onnx.export(
            network, (torch.zeros(2, 3, 224, 224),), dynamo=True, opset_version=20, input_names=["x"], verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},),
        )  # fmt: skip
    program.save(tmp_path / "m.onnx")
    found = flops_of_onnx(tmp_path / "m.onnx", [TensorSpec(name="x", shape=("batch", 3, 224, 224), dtype="float32")])
    assert sum(found.values()) == meta(name)


def test_a_model_without_a_product_says_so(tmp_path):
    from harness.probes.flops import PROBE

    onnx.save(graph([helper.make_node("Relu", ["x"], ["y"])], {"x": ("batch", 3, 8, 8)}, "y"), tmp_path / "m.onnx")
    spec = TensorSpec(name="x", shape=("batch", 3, 8, 8), dtype="float32")
    artifact = SimpleNamespace(format="onnx", flops={}, file="m.onnx", inputs=(spec,))
    found = {outcome.quantity: outcome for outcome in PROBE.measure(SimpleNamespace(folder=tmp_path, artifact=artifact))}
    assert found["graph_flops"].value == 0.0
    assert "no convolution and no matrix product" in found["forward_flops"].reason
