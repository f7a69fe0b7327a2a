"""Per-layer views: own times that add up to the call, FLOP that add up to the counters', nodes put back to their modules."""

import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from harness.core.layers import Layer, LayerView, grouped, read_view, write_view
from harness.core.specs import TensorSpec
from harness.support.clock import ManualClock
from harness.support.flops import count_flops
from harness.support.graph_flops import flops_of_onnx
from harness.support.onnx_layers import layers_from_trace, module_paths
from harness.support.torch_layers import layers
from tests.foreign_models import FLOAT, info


class Slow(nn.Module):
    """Takes a while by itself, then runs what is inside."""

    def __init__(self, clock: ManualClock, seconds: float, *inside: nn.Module) -> None:
        super().__init__()
        self.inside, self.clock, self.seconds = nn.ModuleList(inside), clock, seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.clock.advance(self.seconds)
        for module in self.inside:
            x = module(x)
        return x


def test_own_times_are_exact_and_add_up_to_the_call():
    clock = ManualClock()
    network = Slow(clock, 1.0, Slow(clock, 2.0, nn.Identity()), Slow(clock, 4.0))
    rows = layers(network, [torch.zeros(2)], runs=3, clock=clock, sync=lambda: None)
    assert {row.path: row.seconds for row in rows} == {"(itself)": 1.0, "inside.0": 2.0, "inside.0.inside.0": 0.0, "inside.1": 4.0}
    assert all(row.flops == 0 for row in rows)
    assert not network._forward_hooks


def test_flop_of_the_layers_are_the_networks():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8))
            self.decoder = nn.Conv2d(8, 2, 1)
            self.weight = nn.Parameter(torch.zeros(2, 2))

        def forward(self, x):
            return torch.einsum("kc,bchw->bkhw", self.weight, self.decoder(self.encoder(x)))

    network, image = Net().eval(), torch.zeros(1, 3, 16, 16)
    rows = layers(network, [image], runs=1, clock=ManualClock(), sync=lambda: None)
    assert sum(row.flops for row in rows) == count_flops(network, image)
    by_path = {row.path: row for row in rows}
    assert by_path["decoder"].flops == 2 * 8 * 2 * 14 * 14
    assert by_path["encoder"].flops == 0
    assert by_path["(itself)"].flops == 2 * 2 * 2 * 14 * 14
    assert by_path["decoder"].output_bytes == 4 * 2 * 14 * 14


def graph(path):
    """Convolution and ReLU of an encoder, a matrix product of a decoder, as PyTorch's exporter names them."""
    weights = {"w": torch.ones(16, 3, 3, 3).numpy(), "m": torch.ones(6, 5).numpy()}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="node_conv"),
        helper.make_node("Relu", ["c"], ["r"], name="node_relu"),
        helper.make_node("MatMul", ["r", "m"], ["y"], name="node_matmul"),
    ]
    for node, scope in zip(
        nodes, ("['', 'encoder', 'encoder.conv', 'conv2d']", "['', 'encoder', 'encoder.act', 'relu']", "['', 'decoder', 'mm']"), strict=True
    ):
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scope)
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_graph(nodes, "g", [info("x", [1, 3, 8, 8])], [info("y", [1, 16, 6, 5], FLOAT)], tensors)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def traced(path, feed, *, runs: int):
    """The layers that ONNX Runtime's trace of `runs` calls, after a first one, tells of."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.enable_profiling, settings.profile_file_prefix, settings.log_severity_level = True, str(path.with_name("trace")), 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    for _ in range(runs + 1):
        session.run(None, feed)
    return layers_from_trace(path.parent / session.end_profiling(), path, runs=runs)


def test_fused_nodes_go_back_to_their_modules_with_the_graphs_flop(tmp_path):
    path = graph(tmp_path / "m.onnx")
    assert module_paths(path) == {
        **dict.fromkeys(("node_conv", "c"), "encoder.conv"),
        **dict.fromkeys(("node_relu", "r"), "encoder.act"),
        **dict.fromkeys(("node_matmul", "y"), "decoder"),
    }
    rows = traced(path, {"x": torch.zeros(1, 3, 8, 8).numpy()}, runs=3)
    parts = {share.name: share for share in grouped(view(rows), lambda layer: layer.part)}
    assert parts["encoder"].flops == 2 * 3 * 9 * 16 * 6 * 6
    assert parts["decoder"].flops == 2 * 6 * 16 * 6 * 5
    total = sum(flops_of_onnx(path, [TensorSpec(name="x", shape=(1, 3, 8, 8), dtype="float32")]).values())
    assert sum(row.flops or 0 for row in rows) == total
    assert all(row.seconds > 0 for row in rows)


def test_nodes_of_a_quantized_graph_go_back_to_their_modules_too(tmp_path):
    """ONNX Runtime makes one QLinearConv of what quantization put around a convolution, packs its weight, and appends to its name."""
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Tiles(CalibrationDataReader):
        left = iter([{"x": np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)}])

        def get_next(self):
            return next(self.left, None)

    plain, path = graph(tmp_path / "plain.onnx"), tmp_path / "int8.onnx"
    quantize_static(str(plain), str(path), Tiles(), quant_format=QuantFormat.QDQ, per_channel=True)
    rows = traced(path, {"x": torch.zeros(1, 3, 8, 8).numpy()}, runs=2)
    (convolution,) = (row for row in rows if "Conv" in row.kind)
    assert convolution.kind == "QLinearConv"
    assert convolution.path == "encoder.conv"
    assert convolution.flops == 2 * 3 * 9 * 16 * 6 * 6
    parts = {share.name: share for share in grouped(view(rows), lambda layer: layer.part)}
    assert parts["decoder"].flops == 2 * 6 * 16 * 6 * 5


@pytest.mark.parametrize(("sides", "perm"), [((1024, 32), [0, 2, 1]), ((32, 32), [0, 2, 1]), ((8, 40), [0, 1, 2])])
def test_a_product_whose_transposition_is_fused_has_the_graphs_flop(tmp_path, sides, perm):
    """k^T v of linear attention: ONNX Runtime makes one FusedMatMul of it, whose first factor is (..., K, M)."""
    rows, columns = sides
    shape = [1, columns, rows] if perm == [0, 2, 1] else [1, rows, columns]
    nodes = [
        helper.make_node("Transpose", ["k"], ["t"], perm=perm, name="turn"),
        helper.make_node("MatMul", ["t", "v"], ["m"], name="product"),
        helper.make_node("Relu", ["m"], ["y"], name="act"),
    ]
    values = [info("k", [1, rows, columns]), info("v", [1, shape[2], 16])]
    made = helper.make_graph(nodes, "g", values, [info("y", [1, shape[1], 16], FLOAT)])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    found = traced(path, {"k": torch.zeros(1, rows, columns).numpy(), "v": torch.zeros(1, shape[2], 16).numpy()}, runs=2)
    assert sum(row.flops or 0 for row in found) == 2 * rows * columns * 16


def test_a_packed_weight_counts_with_the_shape_that_the_graph_says(tmp_path):
    weight = numpy_helper.from_array(torch.ones(6, 5, 2, 2).numpy(), "w")
    bias = numpy_helper.from_array(torch.ones(5).numpy(), "b")
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], name="up", strides=[2, 2])
    made = helper.make_graph([node], "g", [info("x", [1, 6, 4, 4])], [info("y", [1, 5, 8, 8], FLOAT)], [weight, bias])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    (row,) = traced(path, {"x": torch.zeros(1, 6, 4, 4).numpy()}, runs=1)
    assert row.flops == 2 * (6 * 4 * 4) * (5 * 2 * 2)


def view(rows) -> LayerView:
    return LayerView(record="r", backend="b", source="test", runs=3, batch=1, layers=tuple(rows))


def test_groups_add_up_and_an_unknown_count_stays_unknown():
    rows = [
        Layer(path="encoder.a.b.c", kind="Conv", seconds=1.0, flops=10, output_bytes=3),
        Layer(path="encoder.a.b.d", kind="Fused", seconds=2.0),
        Layer(path="decoder.x", kind="Conv", seconds=4.0, flops=5),
        Layer(path="(itself)", kind="Net", seconds=8.0, flops=0),
    ]
    shares = {share.name: share for share in grouped(view(rows), lambda layer: layer.stage)}
    assert list(shares) == ["encoder.a.b", "decoder.x", "other"]
    assert (shares["encoder.a.b"].seconds, shares["encoder.a.b"].flops, shares["encoder.a.b"].output_bytes) == (3.0, None, 3)
    assert view(rows).seconds == sum(share.seconds for share in shares.values()) == pytest.approx(15.0)


def test_a_view_beside_its_record_reads_back_and_is_no_record(tmp_path):
    from harness.results.store import read_records, write_record
    from tests.builders import record

    path = write_record(tmp_path, record())
    wanted = view([Layer(path="encoder", kind="Conv", seconds=1.0, flops=10)])
    assert write_view(path, wanted).parent == path.parent
    assert read_view(path) == wanted
    assert not read_records(tmp_path).problems


def artifact_of(path, name="onnx", **fields):
    """The artifact of a graph in its folder, as an exporter would write it."""
    from harness.core.artifact import ARTIFACT_FILE, Artifact
    from harness.core.files import sha256_of_file, write_value
    from tests import builders

    made = Artifact(
        format=name,
        precision="fp32",
        file=path.name,
        sha256=sha256_of_file(path),
        size=path.stat().st_size,
        inputs=(TensorSpec(name="x", shape=("batch", 3, 8, 8), dtype="float32"),),
        outputs=(TensorSpec(name="y", shape=("batch", 16, 6, 5), dtype="float32"),),
        checkpoint=builders.checkpoint(),
        checkpoint_sha256=builders.checkpoint().sha256,
        exporter=name,
        **fields,
    )
    write_value(path.parent / ARTIFACT_FILE, made)
    return made


CONV, PRODUCT = 2 * 3 * 9 * 16 * 6 * 6, 2 * 6 * 16 * 6 * 5


@pytest.mark.parametrize("as_ir", [False, True], ids=["onnx", "ir"])
def test_openvinos_nodes_go_back_to_their_modules_with_the_graphs_flop(tmp_path, as_ir):
    openvino = pytest.importorskip("openvino")
    from harness.support.onnx_origin import origin_of
    from harness.support.openvino_layers import COUNTERS, layers_of
    from harness.support.openvino_run import compiled

    (tmp_path / "onnx").mkdir()
    path = graph(tmp_path / "onnx" / "m.onnx")
    folder, artifact = tmp_path / "onnx", artifact_of(path)
    if as_ir:
        folder = tmp_path / "ir"
        openvino.save_model(openvino.Core().read_model(str(path)), str(folder / "m.xml"), compress_to_fp16=False)
        artifact = artifact_of(folder / "m.xml", "openvino", options={"source_sha256": artifact.sha256})
    model = compiled(folder / artifact.file, "fp32", threads=1, options=COUNTERS)
    rows = layers_of(model, [torch.zeros(1, 3, 8, 8).numpy()], origin_of(folder, artifact), runs=3)
    parts = {share.name: share.flops for share in grouped(view(rows), lambda layer: layer.part) if share.name != "other"}
    assert parts == {"encoder": CONV, "decoder": PRODUCT}
    assert sum(row.flops or 0 for row in rows) == CONV + PRODUCT
    assert min(row.seconds for row in rows) >= 0


def test_without_its_graph_an_openvino_node_counts_by_the_shapes_that_ran():
    from harness.support.openvino_layers import flops_of_shapes

    assert flops_of_shapes("Convolution", [(1, 3, 8, 8), (16, 3, 3, 3)], [(1, 16, 6, 6)]) == CONV
    assert flops_of_shapes("Convolution", [(2, 8, 8, 8), (4, 4, 2, 3, 3)], [(2, 16, 6, 6)]) == 2 * (2 * 16 * 6 * 6) * (2 * 9)
    assert flops_of_shapes("Deconvolution", [(1, 6, 4, 4), (6, 5, 2, 2)], [(1, 5, 8, 8)]) == 2 * (6 * 16) * (5 * 4)
    assert flops_of_shapes("FullyConnected", [(1, 65, 192), (576, 192)], [(1, 65, 576)]) == 2 * 65 * 192 * 576
    assert flops_of_shapes("Convolution", [(), (16, 3, 3, 3)], [(1, 16, 6, 6)]) is None


def test_tensorrts_layers_go_back_to_their_modules(tmp_path):
    import json

    from harness.support.onnx_origin import Origin, origin_of
    from harness.support.tensorrt_layers import layers_from_inspector

    (tmp_path / "onnx").mkdir()
    path = graph(tmp_path / "onnx" / "m.onnx")
    source = artifact_of(path)
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "m.plan").write_bytes(b"plan")
    plan = artifact_of(tmp_path / "plan" / "m.plan", "tensorrt", options={"source_sha256": source.sha256})
    said = {
        "Layers": [
            {"Name": "Reformat 1", "LayerType": "Reformat", "Outputs": [{"Dimensions": [2, 3, 8, 8], "Format/Datatype": "Half"}], "Metadata": ""},
            {
                "Name": "node_conv + node_relu",
                "LayerType": "CaskConvolution",
                "Outputs": [{"Dimensions": [2, 16, 6, 6], "Format/Datatype": "Channel major FP16 format"}],
                "Metadata": "[ONNX Layer: node_conv]\u001e[ONNX Layer: node_relu]",
            },
            {
                "Name": "m",
                "LayerType": "Myelin",
                "Outputs": [{"Dimensions": [2, 16, 6, 5], "Format/Datatype": "FP32"}],
                "Metadata": "[ONNX Layer: node_matmul]",
            },
            {"Name": "mystery", "LayerType": "PluginV3", "Outputs": []},
        ]
    }
    times = {"Reformat 1": [1e-6, 3e-6, 2e-6], "node_conv + node_relu": [5e-6] * 3, "m": [4e-6] * 3, "mystery": [1e-6]}
    rows = layers_from_inspector(json.dumps(said), times, origin_of(tmp_path / "plan", plan), batch=2)
    assert [row.path for row in rows] == ["Reformat 1", "encoder.conv", "decoder", "mystery"]
    assert [row.flops for row in rows] == [0, 2 * CONV, 2 * PRODUCT, None]
    assert [row.seconds for row in rows] == [2e-6, 5e-6, 4e-6, 1e-6]
    assert [row.output_bytes for row in rows] == [2 * 3 * 64 * 2, 2 * 16 * 36 * 2, 2 * 16 * 30 * 4, None]
    assert [row.flops for row in layers_from_inspector(json.dumps(said), times, Origin(), batch=2)] == [0, None, None, None]


def test_the_neck_is_a_part_of_its_own():
    assert Layer(path="decoder.neck.levels.0", kind="Conv", seconds=1.0).part == "neck"
    assert Layer(path="decoder.necklace", kind="Conv", seconds=1.0).part == "decoder"
