"""Models that were not trained here, through the command line: what is measured, what is Missing and why, and hostile files."""

import json
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import run
from harness.core.registry import DATASETS
from tests import foreign_models as models

QUICK = """
schema: 1
name: quick
purpose: tests
runtime: {device: cpu, threads: 1}
sampling: {isolate: false, warmup_runs: 2, warmup_seconds: 0, min_runs: 8, min_seconds: 0, max_seconds: 2}
max_tiles: 5
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    spec = DATASETS.load("synthetic")
    spec.prepare(folder / "data" / f"synthetic-{spec.version}", lambda done, total, what: None)
    (folder / "quick.yaml").write_text(QUICK)
    return folder


@pytest.fixture
def profiled(home, tmp_path, capsys):
    """The one record of a file, its outcomes by quantity."""

    def profile(path: Path, *more: str):
        capsys.readouterr()
        arguments = ["--profile", str(home / "quick.yaml"), "--root", str(home / "data"), "--out", str(tmp_path / "records"), "--json"]
        backend = "torch_export" if path.suffix == ".pt2" else "onnxruntime"
        code = run(["profile", str(path), "--backends", backend, *arguments, *more])
        (record,) = json.loads(capsys.readouterr().out)
        assert code == (0 if any(outcome["kind"] == "measured" for outcome in record["outcomes"]) else 4)
        return record, {outcome["quantity"]: outcome for outcome in record["outcomes"]}

    return profile


def refused(home, capsys, path: Path, *more: str) -> tuple[int, str]:
    capsys.readouterr()
    code = run(["profile", str(path), "--profile", str(home / "quick.yaml"), "--root", str(home / "data"), "--out", str(path.parent / "records"), *more])
    assert not (path.parent / "records").exists()
    return code, capsys.readouterr().err


SCORED = {
    "symbolic": ({}, ()),
    "fixed size": ({"side": 64}, ()),
    "windows of a smaller size": ({"side": 48}, ()),
    "fixed batch": ({"batch": 3, "side": 64}, ()),
    "channels last": ({"layout": "NHWC"}, ()),
    "channels last, fixed": ({"layout": "NHWC", "batch": 1, "side": 64}, ()),
    "newest opset": ({"opset": 21}, ()),
    "oldest opset": ({"opset": 9}, ()),
    "normalized outside": ({"scale": 10.0}, ("--mean", "0", "--std", "10")),
}


@pytest.mark.parametrize("case", SCORED)
def test_a_segmenter_scores_as_the_same_classifier_written_in_numpy(case, profiled, tmp_path):
    arguments, more = SCORED[case]
    _, outcomes = profiled(models.segmenter(tmp_path / "m.onnx", **arguments), "--data", "synthetic", *more)
    assert outcomes["miou"]["samples"][0] == pytest.approx(outcomes["miou"]["detail"]["baselines"]["nearest_color"], abs=1e-12)
    assert outcomes["miou"]["detail"]["tiles"] == 5
    assert outcomes["latency"]["kind"] == "measured"
    assert outcomes["latency"]["detail"]["inputs"] == "tiles of synthetic"
    assert "not trained here" in outcomes["argmax_agreement"]["reason"]


def test_a_model_with_its_argmax_inside_is_scored_but_has_no_confidence(profiled, tmp_path):
    _, outcomes = profiled(models.decider(tmp_path / "m.onnx"), "--data", "synthetic")
    assert outcomes["miou"]["samples"][0] == pytest.approx(outcomes["miou"]["detail"]["baselines"]["nearest_color"], abs=1e-12)
    assert "class indices" in outcomes["calibration_error"]["reason"]


def test_without_a_data_set_what_needs_one_is_missing_with_the_reason(profiled, tmp_path):
    record, outcomes = profiled(models.segmenter(tmp_path / "m.onnx"), "--shape", "image=2x4x32x32")
    assert record["cell"]["batch"] == 2
    assert record["cell"]["tile"] == 32
    assert record["data"] is None
    assert record["checkpoint"]["regime"] == "foreign"
    assert outcomes["latency"]["detail"] == {"inputs": "random", "input_shape": [2, 4, 32, 32]}
    assert outcomes["graph_flops"]["samples"] == [2.0 * 4 * 3 * 32 * 32]
    assert outcomes["parameters"]["samples"] == [15.0]
    for name in ("miou", "boundary_iou", "argmax_agreement", "area_throughput"):
        assert outcomes[name]["kind"] == "missing", name
        assert outcomes[name]["reason"]


def test_inputs_of_another_shape_are_another_cell(profiled, tmp_path):
    path = models.segmenter(tmp_path / "m.onnx", side="s")
    square, _ = profiled(path, "--shape", "image=1x4x32x32", "--reuse")
    wide, _ = profiled(path, "--shape", "image=1x4x32x64", "--reuse")
    assert wide["new"]
    assert (square["cell"]["shape"], wide["cell"]["shape"]) == ("image 4x32x32", "image 4x32x64")


def test_a_classifier_with_two_inputs_of_a_fixed_batch(profiled, tmp_path):
    record, outcomes = profiled(models.classifier(tmp_path / "m.onnx"))
    assert record["task"] == "classification"
    assert record["cell"]["batch"] == 2
    assert outcomes["latency"]["kind"] == "measured"
    assert outcomes["graph_flops"]["samples"] == [2.0 * 3 * 5 * 32 * 32]


def test_an_exported_program(profiled, tmp_path):
    import torch

    weights, bias = models.nearest_color()
    network = torch.nn.Conv2d(4, 3, 1)
    network.load_state_dict({"weight": torch.from_numpy(weights), "bias": torch.from_numpy(bias)})
    sides = {0: torch.export.Dim("n", min=1, max=64)}
    torch.export.save(torch.export.export(network.eval(), (torch.zeros(2, 4, 64, 64),), dynamic_shapes=(sides,)), tmp_path / "m.pt2")
    record, outcomes = profiled(tmp_path / "m.pt2", "--data", "synthetic")
    assert record["cell"]["backend"] == "torch_export"
    assert outcomes["miou"]["samples"][0] == pytest.approx(outcomes["miou"]["detail"]["baselines"]["nearest_color"], abs=1e-12)
    assert outcomes["parameters"]["samples"] == [15.0]
    assert outcomes["graph_flops"]["samples"] == outcomes["forward_flops"]["samples"] == [2.0 * 4 * 3 * 64 * 64]  # of one of the two recorded
    assert outcomes["forward_flops"]["detail"]["agree"] is None  # one counter agrees with nobody


def test_weights_in_a_file_beside_the_model(profiled, tmp_path, capsys):
    models.weights_file(tmp_path / "weights.bin")
    path = models.with_external_weights(tmp_path / "m.onnx", "weights.bin")
    _, outcomes = profiled(path, "--data", "synthetic")
    assert outcomes["miou"]["samples"][0] == pytest.approx(outcomes["miou"]["detail"]["baselines"]["nearest_color"], abs=1e-12)
    assert outcomes["artifact_size"]["samples"] == [path.stat().st_size + 48.0]
    run(["report", str(path), "--records", str(tmp_path / "records"), "--json"])
    assert len(json.loads(capsys.readouterr().out)["cells"]) == 1


def hostile(folder: Path, case: str) -> tuple[Path, str]:
    """A file, and what the reason must say."""
    path, home = folder / "m.onnx", folder / "home"
    home.mkdir()
    models.weights_file(folder / "weights.bin")
    if case == "corrupt":
        path.write_bytes(b"\x08\x07" + bytes(range(256)) * 9)
        return path, "not a readable ONNX file"
    if case == "empty":
        path.write_bytes(b"")
        return path, "holds no node"
    if case == "cut off":
        whole = models.segmenter(path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        return path, "not a readable ONNX file"
    if case == "NaN weights":
        return models.segmenter(path, side=32, weights=np.full((3, 4, 1, 1), np.nan, np.float32)), "are NaN"
    if case == "absurd size":
        return models.segmenter(path, side=2_000_000), "GB of memory are free"
    if case == "weights above the folder":
        return models.with_external_weights(home / "m.onnx", "../weights.bin"), "outside its folder"
    if case == "weights by an absolute path":
        return models.with_external_weights(home / "m.onnx", str(folder / "weights.bin")), "outside its folder"
    if case == "weights behind a link":
        (home / "link.bin").symlink_to(folder / "weights.bin")
        return models.with_external_weights(home / "m.onnx", "link.bin"), "outside its folder"
    if case == "weights that are not there":
        return models.with_external_weights(home / "m.onnx", "gone.bin"), "not there"
    if case == "weights cut short":
        (home / "short.bin").write_bytes(bytes(20))
        return models.with_external_weights(home / "m.onnx", "short.bin"), "has 20 bytes"
    if case == "weights in a file of terabytes":
        with (home / "vast.bin").open("wb") as file:
            file.truncate(2**42)
        return models.with_external_weights(home / "m.onnx", "vast.bin"), "has 4398046511104 bytes"
    if case == "weights in a name with a NUL":
        return models.with_external_weights(home / "m.onnx", "a\0b"), "which no file can be called"
    if case == "weights in a name without end":
        return models.with_external_weights(home / "m.onnx", "a" * 5000), "which no file can be called"
    if case == "a constant of a negative size":
        return models.with_sides(models.segmenter(path), constant=(-1, 4, 1, 1)), "has the shape -1x4x1x1"
    if case == "an input of a negative size":
        return models.with_sides(models.segmenter(path, side=32), image=(1, 4, -5, 32)), "has the shape 1x4x-5x32"
    if case == "no input":
        tensors = {"w": np.ones((1, 3, 4, 4), np.float32)}
        return models.write(path, [models.helper.make_node("Relu", ["w"], ["y"])], [], [models.info("y", [1, 3, 4, 4])], tensors), "it takes no input"
    if case == "a .pt2 that is text":
        (folder / "m.pt2").write_text("hello")
        return folder / "m.pt2", "not a readable .pt2"
    raise AssertionError(case)


CASES = (
    *("corrupt", "empty", "cut off", "NaN weights", "absurd size", "weights above the folder", "weights by an absolute path"),
    *("weights behind a link", "weights that are not there", "weights cut short", "a .pt2 that is text"),
    *("weights in a file of terabytes", "weights in a name with a NUL", "weights in a name without end"),
    *("a constant of a negative size", "an input of a negative size", "no input"),
)


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_is_one_failed_row_with_its_reason(case, profiled, tmp_path):
    path, said = hostile(tmp_path, case)
    _, outcomes = profiled(path)
    assert outcomes["latency"]["why"] == "failed"
    assert said in outcomes["latency"]["reason"]


def test_a_shape_for_a_file_without_inputs_is_no_crash(profiled, tmp_path):
    _, outcomes = profiled(hostile(tmp_path, "no input")[0], "--shape", "image=1x3x4x4")
    assert outcomes["latency"]["reason"] == "it takes no input"


def test_a_size_in_a_program_that_is_more_than_arithmetic_is_refused(tmp_path):
    """torch evaluates these texts as Python."""
    import zipfile

    from harness.core.errors import MeasurementError
    from harness.support.foreign_pt2 import read_pt2

    graph = {"graph": {"tensor_values": {"x": {"sizes": [{"as_expr": {"expr_str": "__import__('os').system('true')"}}]}}}, "signature": {}}
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/models/model.json", json.dumps({"graph_module": graph}))
    with pytest.raises(MeasurementError, match="not arithmetic on symbols"):
        read_pt2(tmp_path / "m.pt2")


@pytest.mark.parametrize(
    ("arguments", "more", "code", "words"),
    [
        ({}, (), 2, "--shape image=1x4x224x224"),
        ({}, ("--shape", "image=1x4xbig"), 2, "a shape is NAME="),
        ({}, ("--shape", "picture=1x4x8x8"), 2, "has the inputs image"),
        ({"side": 64}, ("--shape", "image=1x4x32x32"), 2, "has the shape nx4x64x64"),
        ({"side": 64}, ("--layout", "CHW"), 2, "a layout is NCHW or NHWC"),
        ({"side": 4, "batch": 1}, (), 2, "has the shape 1x4x4x4: bands may come first or last"),
        ({"side": 64}, ("--std", "0"), 2, "none may be 0"),
        ({"side": 64}, ("--std", "nan"), 2, "--std is numbers with commas, got 'nan'"),
        ({"side": 64}, ("--mean", "1,2"), 2, "takes 4 bands"),
        ({}, ("--data", "mars_craters"), 4, "bands"),
        ({"batch": 3, "side": 64}, ("--batches", "1,3"), 2, "runs at batch 3, asked for 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_does_not_fit_is_an_error_before_anything_runs(arguments, more, code, words, home, tmp_path, capsys):
    seen, told = refused(home, capsys, models.segmenter(tmp_path / "m.onnx", **arguments), *more)
    assert seen == code
    assert words in told


def test_the_options_of_a_file_are_refused_for_a_folder(home, tmp_path, capsys):
    code, told = refused(home, capsys, tmp_path / "run", "--shape", "image=1x3x8x8")
    assert code == 2
    assert "are for a model's file" in told
