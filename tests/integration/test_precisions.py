"""One small CNN and one small ViT, trained for a moment, in every precision and format that this machine can make; and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import run
from harness.core.artifact import read_artifact, read_checkpoint
from harness.core.errors import ConfigError, DataError, ExportError, ParityError, UnavailableError
from harness.stages import data_folder, export, train
from harness.support.export_data import Context, read_tiles
from harness.support.onnx_bf16 import rounded_runner
from harness.support.onnx_run import runner
from tests.precision_graphs import half_graph, overflowing_graph

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CNN, VIT = "timm:resnet10t+fpn", "timm:test_vit+linear"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with the synthetic set and one checkpoint per model."""
    folder = tmp_path_factory.mktemp("home")
    assert run(["data", "prepare", "synthetic", "--root", str(folder / "data")]) == 0
    for model, name in ((CNN, "cnn"), (VIT, "vit")):
        train(model, "synthetic", "scratch", out=folder / name, root=folder / "data", overrides={"epochs": 2})
    return folder


def made(home: Path, model: str, precision: str, to: str = "onnx", **more):
    return export(home / model, to=to, precision=precision, root=home / "data", **more)


@pytest.mark.parametrize(
    ("model", "precision", "largest_share"),
    [
        ("cnn", "fp16", 0.55),
        ("cnn", "bf16", 0.55),
        ("cnn", "int8-static", 0.35),
        ("vit", "fp16", 0.7),
        ("vit", "bf16", 0.7),
        ("vit", "int8-dynamic", 0.6),
        ("vit", "int8-static", 0.55),
    ],
)
def test_a_lower_precision_is_smaller_decides_alike_and_says_how_far_it_is(home, model, precision, largest_share):
    _, whole, _ = made(home, model, "fp32")
    folder, artifact, _ = made(home, model, precision)
    assert artifact.precision == precision
    assert artifact.size < largest_share * whole.size
    assert artifact.parity["argmax_agreement"] >= artifact.parity["least_agreement"]
    assert {"max_abs_error", "rms_error", "miou", "miou_drop", "tiles"} <= artifact.parity.keys()
    assert artifact.tool_versions.keys() >= {"onnx", "onnxruntime", "torch"}
    assert read_artifact(folder) == artifact


@pytest.mark.parametrize(("model", "precision"), [("cnn", "fp16"), ("cnn", "int8-static"), ("vit", "int8-dynamic")])
def test_the_precision_lies_in_the_graph_which_is_sound_and_takes_any_batch(home, model, precision):
    folder, artifact, _ = made(home, model, precision)
    graph = onnx.load(folder / artifact.file)
    onnx.checker.check_model(graph, full_check=True)
    bits = {"fp16": onnx.TensorProto.FLOAT16, "int8-static": onnx.TensorProto.INT8, "int8-dynamic": onnx.TensorProto.INT8}[precision]
    held = {kind: sum(int(np.prod(tensor.dims)) for tensor in graph.graph.initializer if tensor.data_type == kind) for kind in (bits, onnx.TensorProto.FLOAT)}
    assert held[bits] > held[onnx.TensorProto.FLOAT]
    assert [value.type.tensor_type.elem_type for value in (*graph.graph.input, *graph.graph.output)] == [onnx.TensorProto.FLOAT] * 2
    images = np.random.default_rng(0).normal(100, 25, (5, 4, 64, 64)).astype(np.float32)
    assert runner(folder / artifact.file)(images).shape == (5, 3, 64, 64)


def test_the_recorded_agreement_is_what_a_count_by_hand_gives(home):
    """Oracle: logits of both graphs over the same tiles, counted here."""
    folder, artifact, _ = made(home, "cnn", "int8-static")
    whole = home / "cnn" / "artifacts" / "onnx-fp32" / "model.onnx"
    context = Context("synthetic", data_folder_of(home), home / "cnn", val_tiles=32)
    tiles = read_tiles(context, read_checkpoint(home / "cnn"), "val", 32)
    alike = (runner(folder / artifact.file)(tiles.images).argmax(1) == runner(whole)(tiles.images).argmax(1)).mean()
    assert artifact.parity["argmax_agreement"] == pytest.approx(alike, abs=2e-3)
    assert artifact.parity["tiles"] == len(tiles.names) == 12


def data_folder_of(home: Path) -> Path:
    from harness.core.registry import DATASETS

    return data_folder(DATASETS.load("synthetic"), home / "data")


def test_static_int8_is_what_tensorrt_takes_and_names_its_calibration_tiles(home):
    folder, artifact, _ = made(home, "cnn", "int8-static", options={"calibration_tiles": 8})
    nodes = onnx.load(folder / artifact.file).graph
    zeros = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in nodes.initializer}
    points = [zeros[node.input[2]] for node in nodes.node if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2]
    assert points
    assert all(point.dtype == np.int8 and not point.any() for point in points)
    assert len(artifact.options["calibration_names"]) == 8
    assert len(artifact.options["calibration_sha256"]) == 64


def largest_int8_weight(folder: Path) -> int:
    graph = onnx.load(folder / "model.onnx").graph
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    return max(int(np.abs(weight.astype(int)).max()) for weight in weights)


@pytest.mark.parametrize("precision", ["int8-static", "int8-dynamic"])
def test_weights_take_seven_bits_so_that_sums_of_two_products_fit_16_bits_on_any_processor(home, tmp_path, precision):
    """255 * 64 * 2 = 32,640 fits; 255 * 127 * 2 does not."""
    folder, _, _ = made(home, "vit", precision)
    assert largest_int8_weight(folder) <= 64
    options = {"weight_bits": 8, **({"calibration_tiles": 2} if precision == "int8-static" else {})}
    folder, _, _ = made(home, "vit", precision, out=tmp_path / "whole", options=options, min_agreement=0.0)
    assert largest_int8_weight(folder) > 120


def test_an_equal_export_is_never_made_twice(home, tmp_path):
    """It is kept in its folder, copied to another one, and found where the checkpoint was moved to; a damaged copy is not believed."""
    settings = {"calibration_tiles": 3}
    folder, first, is_new = made(home, "vit", "int8-static", out=tmp_path / "first", options=settings)
    assert is_new
    copy, second, is_new = made(home, "vit", "int8-static", out=tmp_path / "second", options=settings)
    assert (second, is_new) == (first, False)
    assert read_artifact(copy) == first
    (folder / first.file).write_bytes(b"x")
    made(home, "vit", "fp32")
    moved = shutil.copytree(home / "vit", tmp_path / "moved")
    third, _, is_new = export(moved, to="onnx", precision="int8-static", root=home / "data", out=tmp_path / "third", options=settings)
    assert not is_new
    assert (third / first.file).read_bytes() == (copy / first.file).read_bytes()
    assert not export(moved, to="onnx", precision="fp32", root=home / "data")[2]


def test_the_command_line_tells_the_trade_of_a_limit_on_miou(home, tmp_path, capsys):
    out = tmp_path / "mixed"
    command = ["export", str(home / "cnn"), "--precision", "int8-static", "--max-miou-drop", "0.2", "--calibration-tiles", "4"]
    assert run([*command, "--root", str(home / "data"), "--out", str(out)]) == 0
    said, heard = capsys.readouterr()
    assert f"next: harness profile {out}" in heard
    artifact = read_artifact(out)
    assert artifact.parity["miou_drop"] <= 0.2
    trade = artifact.options["mixed_precision"]
    assert trade["steps"][-1]["miou_drop"] == pytest.approx(artifact.parity["miou_drop"])
    assert f"val mIoU may drop {100 * trade['max_miou_drop']:g} points" in said
    assert said.count("of MACs lowered") == len(trade["steps"])


def test_an_export_is_kept_until_a_setting_or_a_calibration_tile_changes(home, tmp_path):
    out = tmp_path / "artifact"
    settings = {"calibration_tiles": 4}
    _, first, is_new = made(home, "vit", "int8-static", out=out, options=settings)
    assert is_new
    assert not made(home, "vit", "int8-static", out=out, options=settings)[2]
    known = json.loads((out / "artifact.json").read_text())
    known["options"]["calibration_sha256"] = "0" * 64
    (out / "artifact.json").write_text(json.dumps(known))
    _, again, is_new = made(home, "vit", "int8-static", out=out, options=settings)
    assert is_new
    assert again.sha256 == first.sha256
    _, other, is_new = made(home, "vit", "int8-static", out=out, options={**settings, "calibration_method": "percentile"})
    assert is_new
    assert other.sha256 != first.sha256


def test_what_overflows_in_fp16_stays_in_fp32():
    """A graph whose middle reaches 4e9: plainly converted it gives infinity, ours gives the fp32 result within fp16's rounding."""
    image = np.random.default_rng(0).uniform(1, 2, (1, 1, 4, 4)).astype(np.float32)
    model, by_name = overflowing_graph()
    wanted, plain, ours, kept = half_graph(model, image)
    assert not np.isfinite(plain).all()
    np.testing.assert_allclose(ours, wanted, rtol=2e-3)
    assert set(kept) == by_name


@pytest.mark.parametrize(
    ("options", "precision", "words"),
    [
        ({"calibration_method": "kl"}, "int8-static", "minmax, entropy, percentile"),
        ({"calibration_tiles": 0}, "int8-static", "1 or more"),
        ({"weight_bits": 6}, "int8-static", "7, 8"),
        ({"max_miou_drop": 1.5}, "int8-static", "from 0 to 1"),
        ({"max_miou_drop": 0.01}, "fp32", "no setting max_miou_drop"),
        ({"calibration_tiles": 8}, "fp16", "no setting calibration_tiles"),
        ({"opset": 9}, "fp16", "older than 20"),
        ({}, "int4", "it has fp32"),
        ({"opset": 21}, "bf16", "older than 22"),
        ({"opset": 99}, "bf16", "newer than .*--opset 22"),
    ],
)
def test_a_setting_that_can_not_be_is_said_before_anything_runs(home, options, precision, words):
    with pytest.raises(ConfigError, match=words):
        made(home, "cnn", precision, options=options)


def test_calibration_without_prepared_data_says_how_to_prepare_it(home, tmp_path):
    with pytest.raises(DataError, match="synthetic") as caught:
        export(home / "cnn", to="onnx", precision="int8-static", root=tmp_path, out=tmp_path / "out")
    assert "harness data prepare synthetic" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_calibration_data_with_other_bands_is_refused(home, tmp_path):
    with pytest.raises(DataError, match="bands"):
        made(home, "cnn", "int8-static", data="bluemarble_ice", out=tmp_path / "out")


def test_dynamic_int8_of_a_network_of_convolutions_says_that_there_is_nothing_to_quantize(home, tmp_path):
    with pytest.raises(ExportError, match="nothing to quantize"):
        made(home, "cnn", "int8-dynamic", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_below_the_stated_agreement_there_is_no_artifact(home, tmp_path):
    with pytest.raises(ParityError, match="less than 100"):
        made(home, "cnn", "int8-static", out=tmp_path / "out", min_agreement=1.0, options={"calibration_tiles": 1, "per_channel": False})
    assert not (tmp_path / "out").exists()


def test_pt2_programs_decide_like_the_network(home):
    _, artifact, _ = made(home, "cnn", "fp32", to="torch_export")
    assert (artifact.format, artifact.parity["argmax_agreement"]) == ("pt2", 1.0)
    _, artifact, _ = made(home, "vit", "bf16", to="torch_export")
    assert artifact.parity["argmax_agreement"] >= 0.97


@pytest.mark.parametrize("model", ["cnn", "vit"])
def test_a_bf16_graph_decides_like_the_network_that_pytorch_runs_in_bf16(home, model):
    """Oracle: PyTorch's own bfloat16 kernels, which are as far from fp32 as ours."""
    import torch

    from exporters.torch_export import in_bfloat16
    from harness.support.model import model_from_checkpoint

    folder, artifact, _ = made(home, model, "bf16")
    assert (artifact.options["opset"], artifact.options["judged_in"]) == (22, "fp32 with every result rounded to bf16")
    graph = onnx.load(folder / artifact.file)
    onnx.checker.check_model(graph, full_check=True)
    held = {kind: sum(int(np.prod(one.dims)) for one in graph.graph.initializer if one.data_type == kind) for kind in (16, onnx.TensorProto.FLOAT)}
    assert held[16] > 100 * held[onnx.TensorProto.FLOAT]
    assert [value.type.tensor_type.elem_type for value in (*graph.graph.input, *graph.graph.output)] == [onnx.TensorProto.FLOAT] * 2
    images = np.random.default_rng(0).normal(100, 25, (5, 4, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        exact = model_from_checkpoint(home / model)(torch.from_numpy(images)).numpy()
        theirs = in_bfloat16(model_from_checkpoint(home / model))(torch.from_numpy(images)).float().numpy()
    ours = rounded_runner(folder / artifact.file)(images)
    assert 0 < np.abs(ours - exact).max() < 1.5 * np.abs(theirs - exact).max()
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.98


def test_openvino_calibrates_the_fp32_graph_with_unsigned_activations(home):
    pytest.importorskip("openvino")
    folder, artifact, _ = made(home, "cnn", "int8-static", to="openvino", options={"calibration_tiles": 8})
    whole = read_artifact(home / "cnn" / "artifacts" / "onnx-fp32")
    assert artifact.options["source_sha256"] == whole.sha256
    assert artifact.size < 0.5 * whole.size
    assert (artifact.options["activations"], len(artifact.options["calibration_names"])) == ("uint8", 8)
    assert artifact.parity["argmax_agreement"] >= 0.9
    assert artifact.files.keys() == {"model.bin"}
    assert not made(home, "cnn", "int8-static", to="openvino", options={"calibration_tiles": 8})[2]
    (folder / "model.bin").write_bytes(b"x")
    assert run(["profile", str(folder), "--root", str(home / "data"), "--out", str(folder / "records")]) == 4


def test_openvino_refuses_a_precision_that_the_processor_lacks(home):
    from harness.support.openvino_run import lacking

    pytest.importorskip("openvino")
    if lacking("bf16") is None:
        assert made(home, "cnn", "bf16", to="openvino")[1].parity["argmax_agreement"] >= 0.97
        return
    with pytest.raises(UnavailableError, match="unsupported: OpenVINO on this processor"):
        made(home, "cnn", "bf16", to="openvino")


@pytest.mark.parametrize(("precision", "options"), [("fp16", {}), ("int8-static", {"max_miou_drop": 0.5, "calibration_tiles": 2})])
def test_what_was_chosen_by_looking_at_other_val_tiles_is_another_export(home, tmp_path, precision, options):
    looked = [made(home, "cnn", precision, out=tmp_path / "artifact", options=options, val_tiles=tiles)[1:] for tiles in (2, 4, 4)]
    assert [is_new for _, is_new in looked] == [True, True, False]
    assert looked[1][0].parity["tiles"] == 4


def test_what_does_not_depend_on_val_tiles_is_kept_whatever_it_is_judged_by(home, tmp_path):
    looked = [made(home, "cnn", "int8-static", out=tmp_path / "artifact", options={"calibration_tiles": 2}, val_tiles=tiles)[2] for tiles in (2, 4)]
    assert looked == [True, False]
