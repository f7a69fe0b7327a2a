"""A sample of small pairs exports, computes the same at two batch sizes, and gives a TensorRT plan; `make zoo-check` does it for all 16."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
import torch

from tests.tensorrt_offline import UnavailableError, import_root
from tests.zoo_check.check import GRAPH, planned
from tests.zoo_check.export import compared, exported
from tests.zoo_check.models import Model, stir, write_checkpoint

#: Fused nn.MultiheadAttention.
PLAIN = Model("remoteclip+linear", 64)
#: Fused attention, interpolated positions, and UPerNet's pooling to fixed sizes.
PLANNED = Model("s12_dino+upernet", 64)


def require_same_logits(found) -> None:
    assert (found["ok"], found["reason"]) == (True, "")
    assert sorted(found["parity"]) == ["1", "3"]
    assert max(found["parity"].values()) <= 1e-4
    assert found["spread"] > 1e-3, "logits that hardly vary compare nothing"


def test_a_pair_exports(tmp_path):
    require_same_logits(exported(PLAIN, tmp_path))


def test_other_weights_are_seen(tmp_path):
    model = Model("unet+unet", 64)
    require_same_logits(exported(model, tmp_path))
    other = replace(model, seed=1)
    write_checkpoint(other, tmp_path / "other")
    found = compared(other, tmp_path / "other", tmp_path / GRAPH)
    assert not found["ok"]
    assert min(found["parity"].values()) > 1e-2


def test_a_pair_gives_a_plan(tmp_path):
    require_same_logits(exported(PLANNED, tmp_path))
    plan = planned(tmp_path / GRAPH, tmp_path / "model.plan")
    if plan["status"] == "skipped":
        pytest.skip(plan["reason"])
    assert (plan["status"], plan["reason"]) == ("built", "")
    assert plan["inputs"] == [["image", -1, 13, 64, 64]]
    assert plan["plan_bytes"] == (tmp_path / "model.plan").stat().st_size


def test_a_graph_that_does_not_parse_says_why(tmp_path):
    try:
        import_root()
    except UnavailableError as error:
        pytest.skip(str(error))
    info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3])
    made = onnx.helper.make_graph([onnx.helper.make_node("NoSuchOperator", ["x"], ["y"])], "g", [info], [renamed(info, "y")])
    onnx.save(onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 20)]), tmp_path / "odd.onnx")
    plan = planned(tmp_path / "odd.onnx", tmp_path / "model.plan")
    assert plan["status"] == "failed"
    assert "NoSuchOperator" in plan["reason"]


def renamed(info, name):
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(info)
    copy.name = name
    return copy


def test_a_platform_without_the_package_is_a_reason(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(UnavailableError, match="Linux aarch64"):
        import_root()


def test_nothing_of_a_fresh_network_stays_constant():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(4), torch.nn.LayerNorm(4))
    stir(network)
    assert all(tensor.std() > 0 for name, tensor in network.state_dict().items() if not name.endswith("tracked"))
