"""`harness import` and `harness.api.import_checkpoint`: from another project's file to a checkpoint that is profiled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from harness import api
from harness.cli.main import run
from harness.core.artifact import read_checkpoint
from harness.core.errors import CheckpointError, ConfigError
from harness.core.registry import DATASETS
from harness.support.model import model_from_checkpoint
from harness.support.pangaea_config import read_configuration
from tests import pangaea_reference as pangaea
from tests.zoo_reference import CASES, golden_input, hashed

QUICK = """
schema: 1
name: quick
purpose: tests
runtime: {device: cpu, threads: 1}
probes: [accuracy, latency, size]
sampling: {isolate: false, warmup_runs: 1, warmup_seconds: 0, min_runs: 6, min_seconds: 0, max_seconds: 2}
max_tiles: 2
"""
MEAN, STD = (120.0856, 124.7197, 123.1397), (74.6460, 74.3500, 76.5471)
SAID = ["--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD)), "--class-names", "background,target"]
CONFIGURATION = {
    "dataset": {
        "bands": {"optical": ["B4", "B3", "B2"]},
        "data_mean": {"optical": list(MEAN)},
        "data_std": {"optical": list(STD)},
        "classes": ["background", "target"],
        "ignore_index": -1,
    },
    "encoder": {"input_size": 32, "encoder_weights": None, "input_bands": "${dataset.bands}"},
    "finetune": True,
    "seed": 234,
    "limited_label_train": 0.5,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A U-Net of the paper, one of the synthetic set's four bands and three classes, that set, and a profile."""
    folder = tmp_path_factory.mktemp("home")
    tensors = pangaea.model_tensors(next(case for case in CASES if case.reference == "U-Net"))
    pangaea.saved(folder / "rgb.pth", tensors)
    others = {"encoder.in_conv.conv.conv.0.weight": (64, 4, 3, 3), "conv_seg.conv.weight": (3, 64, 1, 1), "conv_seg.conv.bias": (3,)}
    pangaea.saved(folder / "four.pth", tensors | {name: hashed(name, shape) for name, shape in others.items()})
    spec = DATASETS.load("synthetic")
    spec.prepare(folder / "data" / f"synthetic-{spec.version}", lambda done, total, what: None)
    (folder / "quick.yaml").write_text(QUICK)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIGURATION))
    return folder


@pytest.fixture
def said(capsys, tmp_path):
    """Exit code, standard output and standard error of an import."""

    def imports(file: Path, *more: str, out: Path = tmp_path / "out") -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["import", str(file), "--model", "unet+unet", "--input-size", "32", "--out", str(out), *more])
        return code, *capsys.readouterr()

    return imports


@torch.no_grad()
def test_a_checkpoint_computes_what_was_trained_and_says_what_is_known(home, said, tmp_path):
    code, out, err = said(home / "rgb.pth", "--from", "pangaea", "--bands", "B4,B3,B2", "--classes", "2", *SAID, "--regime", "finetune", "--json")
    assert code == 0, err
    checkpoint = read_checkpoint(tmp_path / "out")
    assert json.loads(out) == {"path": str(tmp_path / "out"), **checkpoint.model_dump(mode="json")}
    assert (checkpoint.classes, checkpoint.regime, checkpoint.dataset.name, checkpoint.input_size) == (("background", "target"), "finetune", "unknown", 32)
    assert checkpoint.parameters == 14788994
    origin = checkpoint.initial_weights
    assert (origin["source"], origin["file"], origin["normalization"], origin["used"]) == ("pangaea", "rgb.pth", "given", 136)
    assert f"next: harness profile {tmp_path / 'out'}" in err
    tensors = torch.load(home / "rgb.pth", weights_only=True)["model"]
    image = golden_input("U-Net")[..., :32, :32]
    pixels = image * torch.tensor(STD).view(1, 3, 1, 1) + torch.tensor(MEAN).view(1, 3, 1, 1)
    network = model_from_checkpoint(tmp_path / "out")
    wanted = pangaea.unet(tensors, network.encoder(image), (32, 32))
    assert (network(pixels) - wanted).abs().max() <= 1e-4 * wanted.abs().max()
    same = api.import_checkpoint(home / "rgb.pth", "unet+unet", mean=MEAN, std=STD)
    assert torch.equal(same(pixels), network(pixels))


def test_a_data_set_of_ours_gives_bands_classes_and_normalization_and_is_scored(home, said, tmp_path, capsys):
    code, _, err = said(home / "four.pth", "--data", "synthetic")
    assert code == 0, err
    spec, checkpoint = DATASETS.load("synthetic"), read_checkpoint(tmp_path / "out")
    assert (checkpoint.bands, checkpoint.classes, checkpoint.preprocessing.mean) == (spec.bands, spec.classes, pytest.approx(spec.mean))
    assert checkpoint.initial_weights["normalization"] == f"statistics of synthetic {spec.version}"
    outcomes = profiled(home, tmp_path, capsys)
    assert outcomes["miou"]["detail"]["tiles"] == 2
    assert outcomes["latency"]["detail"]["inputs"] == "tiles of synthetic"


def test_a_model_of_unknown_data_is_profiled_on_random_inputs(home, said, tmp_path, capsys):
    code, _, err = said(home / "rgb.pth")
    assert code == 0, err
    assert "not normalized" in err
    assert read_checkpoint(tmp_path / "out").classes == ("class 0", "class 1")
    outcomes = profiled(home, tmp_path, capsys)
    assert outcomes["latency"]["kind"] == "measured"
    assert outcomes["miou"]["kind"] == "missing"


def profiled(home, folder, capsys) -> dict:
    capsys.readouterr()
    arguments = ["--profile", str(home / "quick.yaml"), "--root", str(home / "data"), "--out", str(folder / "records"), "--json"]
    assert run(["profile", str(folder / "out"), *arguments]) == 0, capsys.readouterr().err
    (record,) = json.loads(capsys.readouterr().out)
    return {outcome["quantity"]: outcome for outcome in record["outcomes"]}


def test_the_configuration_of_the_run_says_what_flags_would(home, said, tmp_path):
    assert said(home / "rgb.pth", "--bands", "B4,B3,B2", "--classes", "2", *SAID, out=tmp_path / "flags")[0] == 0
    assert said(home / "rgb.pth", "--config", str(home / "config.yaml"), out=tmp_path / "file")[0] == 0
    flags, file = (read_checkpoint(tmp_path / name) for name in ("flags", "file"))
    assert file == flags.model_copy(update={"ignore_index": -1, "regime": "scratch", "seed": 234, "label_fraction": 0.5})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"dataset": {"classes": []}}, "dataset.bands"),
        ({"dataset": {"bands": {"lidar": ["Z"]}}}, "lidar"),
        ({"dataset": {"bands": {"optical": ["B4"]}, "data_mean": {"optical": [1, 2]}}}, "1 bands is 2 values"),
    ],
)
def test_a_configuration_that_says_something_else_is_refused(change, text, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(change))
    with pytest.raises(ConfigError, match=text):
        read_configuration(tmp_path / "config.yaml")


def test_modalities_are_joined_optical_first(tmp_path):
    data = {"bands": {"sar": ["VV"], "optical": ["B2", "B3"]}, "data_mean": {"sar": [3], "optical": [1, 2]}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"dataset": data}))
    found = read_configuration(tmp_path / "config.yaml")
    assert (found.bands, found.mean, found.std, found.classes) == (("B2", "B3", "VV"), (1, 2, 3), None, ())


def test_a_configuration_tells_the_encoder_its_wavelengths_and_resolutions(tmp_path):
    encoder = {"input_size": "${dataset.img_size}", "input_res": 3.0, "res": 24.0, "wavelengths": {"optical": {"B8": 832.0}, "sar": {"VV": "asc_vv"}}}
    content = {"dataset": {"bands": {"optical": ["B8"]}}, "encoder": encoder, "finetune": False}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    found = read_configuration(tmp_path / "config.yaml")
    assert (found.wavelengths, found.input_size, found.regime) == ({"B8": 0.832}, None, "frozen")
    assert found.options("ramen") == {"input_resolution": 3.0, "resolution": 24.0}
    assert (found.options("scalemae"), found.options("dofa")) == ({"resolution": 3.0}, {})


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (("--classes", "6"), 4, "--classes 2"),
        (("--data", "synthetic"), 4, "--classes 2"),
        (("--data", "synthetic", "--bands", "B4,B3,B2"), 2, "--bands"),
        (("--from", "mmseg"), 2, "--from pangaea"),
        (("--mean", "1,x,3"), 2, "--mean"),
        (("--mean", "1,2"), 2, "3 bands"),
        (("--mean", "1,2,3"), 2, "--mean is known and --std is not"),
        (("--std", "1,2,3"), 2, "--std is known and --mean is not"),
        (("--mean", "1,nan,3", "--std", "1,2,3"), 2, "--mean is numbers"),
        (("--mean", "1,2,3", "--std", "1,inf,3"), 2, "--std is numbers"),
        (("--classes", "3", "--class-names", "a,b"), 2, "--class-names"),
        (("--bands", "VV,VH"), 4, "in_conv.conv.conv.0.weight"),
        (("--model", "vit+upernet"), 4, "--model unet+unet"),
    ],
)
def test_a_misunderstanding_is_one_error_and_leaves_nothing(more, code, text, home, said, tmp_path):
    found, out, err = said(home / "rgb.pth", *more)
    assert (found, out) == (code, "")
    assert text in err
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_replaced_unasked(home, said, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert said(home / "rgb.pth", "--force", out=tmp_path / "mine")[0] == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
    assert said(home / "rgb.pth")[0] == 0
    assert said(home / "rgb.pth")[0] == 2
    assert said(home / "rgb.pth", "--force")[0] == 0


def test_python_gets_the_same_errors(home):
    with pytest.raises(CheckpointError, match="2 classes"):
        api.import_checkpoint(home / "rgb.pth", "unet+unet", num_classes=5)
    network = api.import_checkpoint(str(home / "rgb.pth"), "unet+unet", "pangaea", 2, ["B4", "B3", "B2"])
    assert network({"optical": golden_input("U-Net")[..., :32, :32]}).shape == (1, 2, 32, 32)
