"""Per-layer views: own times that add up to the call, FLOP that add up to the counters', nodes put back to their modules."""

import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from harness.core.layers import Layer, LayerView, grouped
from harness.core.specs import TensorSpec
from harness.profiling.layers import read_view, write_view
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


def test_fused_nodes_go_back_to_their_modules_with_the_graphs_flop(tmp_path):
    import onnxruntime

    path = graph(tmp_path / "m.onnx")
    assert module_paths(path) == {
        **dict.fromkeys(("node_conv", "c"), "encoder.conv"),
        **dict.fromkeys(("node_relu", "r"), "encoder.act"),
        **dict.fromkeys(("node_matmul", "y"), "decoder"),
    }
    settings = onnxruntime.SessionOptions()
    settings.enable_profiling, settings.profile_file_prefix, settings.log_severity_level = True, str(tmp_path / "trace"), 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    for _ in range(4):
        session.run(None, {"x": torch.zeros(1, 3, 8, 8).numpy()})
    rows = layers_from_trace(tmp_path / session.end_profiling(), path, runs=3)
    parts = {share.name: share for share in grouped(view(rows), lambda layer: layer.part)}
    assert parts["encoder"].flops == 2 * 3 * 9 * 16 * 6 * 6
    assert parts["decoder"].flops == 2 * 6 * 16 * 6 * 5
    total = sum(flops_of_onnx(path, [TensorSpec(name="x", shape=(1, 3, 8, 8), dtype="float32")]).values())
    assert sum(row.flops or 0 for row in rows) == total
    assert all(row.seconds > 0 for row in rows)


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
