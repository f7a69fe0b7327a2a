"""A bundle's way: made beside its checkpoint, profiled where no PyTorch and no raster library is, its record brought home."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.bundling.tiles import write_tiles
from harness.cli.main import run
from harness.core.files import sha256_of_file
from harness.core.registry import DATASETS
from harness.support.bundled import FACTS, bundled_spec
from harness.support.confusion import confusion, miou
from tests import bundle_parts as parts
from tests.bundle_parts import npy, pack
from tests.foreign_models import segmenter
from tests.small_checkpoint import small_checkpoint

QUICK = """
schema: 1
name: quick
purpose: tests
runtime: {device: cpu, threads: 1}
sampling: {warmup_runs: 2, warmup_seconds: 0, min_runs: 8, min_seconds: 0, max_seconds: 2}
"""
#: Makes these packages look as if they were not installed, in a process and in those that it starts.
LIGHT = """
import sys
from importlib.machinery import PathFinder

ABSENT = {"torch", "torchvision", "timm", "lightning", "safetensors", "rasterio", "PIL", "onnx", "onnxscript", "pandas", "matplotlib", "scipy", "sklearn"}


class Light(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in ABSENT else super().find_spec(name, path, target)


sys.meta_path[:] = [Light if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A machine with everything: data, a checkpoint with its ONNX artifact, a profile."""
    folder = tmp_path_factory.mktemp("home")
    spec = DATASETS.load("synthetic")
    spec.prepare(folder / "data" / f"synthetic-{spec.version}-32", lambda done, total, what: None, tile=32)
    small_checkpoint(folder / "checkpoint")
    (folder / "quick.yaml").write_text(QUICK)
    assert run(["export", str(folder / "checkpoint"), "--to", "onnx", "--root", str(folder / "data")]) == 0
    return folder


@pytest.fixture(scope="module")
def bundle(home) -> Path:
    assert run(["bundle", str(home / "checkpoint"), "--artifacts", "onnx-fp32", "--root", str(home / "data"), "--out", str(home / "small.zip")]) == 0
    return home / "small.zip"


@pytest.fixture
def edge(tmp_path):
    """A command line on a machine without what `LIGHT` names; gives its exit code, output and errors."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(LIGHT)
    (tmp_path / "quick.yaml").write_text(QUICK)

    def harness(*arguments: str) -> tuple[int, str, str]:
        variables = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HARNESS_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "harness", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return harness


def outcomes(record) -> dict[str, dict]:
    return {outcome["quantity"]: outcome for outcome in record["outcomes"]}


def test_the_edge_that_the_tests_use_has_no_torch(edge, tmp_path):
    code, _, said = edge("train", "unet+unet", "--data", "synthetic")
    assert (code, "not installed" in said) == (3, True)


def test_equal_inputs_give_equal_bytes(home, bundle, tmp_path):
    assert run(["bundle", str(home / "checkpoint" / "artifacts" / "onnx-fp32"), "--root", str(home / "data"), "--out", str(tmp_path / "b.zip")]) == 0
    assert (tmp_path / "b.zip").read_bytes() == bundle.read_bytes()


def test_a_folder_name_that_no_bundle_can_hold_is_said_before_any_work(home, tmp_path, capsys):
    shutil.copytree(home / "checkpoint", tmp_path / "model")
    (tmp_path / "model" / "artifacts" / "onnx-fp32").rename(tmp_path / "model" / "artifacts" / "mein modell")
    assert run(["bundle", str(tmp_path / "model"), "--root", str(home / "data"), "--out", str(tmp_path / "b.zip")]) == 2
    assert "mein modell has a name that no bundle can hold" in capsys.readouterr().err
    assert not (tmp_path / "b.zip").exists()


def test_a_bundle_is_measured_without_torch_as_at_home_and_its_record_comes_home(home, bundle, edge, tmp_path, capsys):
    (tmp_path / "small.zip").write_bytes(bundle.read_bytes())
    code, out, said = edge("profile", "small.zip", "--profile", "quick.yaml", "--backends", "onnxruntime", "--out", "records", "--json")
    assert code == 0, said
    (record,) = json.loads(out)
    there = outcomes(record)
    assert all(there[name]["kind"] == "measured" for name in ("latency", "peak_host_memory", "artifact_size", "forward_flops"))
    assert record["detail"]["bundle"]["tiles"] == record["detail"]["bundle"]["tiles_in_split"] == 12
    assert record["detail"]["bundle"]["split"] == "test"
    assert record["command"] == "harness profile small.zip --profile quick.yaml --backends onnxruntime --out records --json"
    assert record["data"]["name"] == "synthetic"
    assert not [warning for warning in record["warnings"] if "split" in warning["kind"]]

    capsys.readouterr()
    with_data = ["--root", str(home / "data"), "--out", str(tmp_path / "home"), "--json"]
    assert run(["profile", str(home / "checkpoint"), "--profile", str(home / "quick.yaml"), "--backends", "onnxruntime", *with_data]) == 0
    (mine,) = json.loads(capsys.readouterr().out)
    here = outcomes(mine)
    for name in ("miou", "miou_per_image", "pixel_accuracy", "boundary_iou", "argmax_agreement", "miou_drop", "graph_flops", "forward_flops"):
        assert there[name]["samples"] == here[name]["samples"], name
    assert there["miou"]["detail"] == here["miou"]["detail"]
    assert there["graph_flops"]["detail"]["counted"] == "where the bundle was made"
    assert there["max_abs_error"]["samples"][0] == pytest.approx(here["max_abs_error"]["samples"][0], abs=1e-5)
    assert record["cell"] == mine["cell"]

    assert run(["records", "import", str(tmp_path / "records"), "--into", str(tmp_path / "home")]) == 0
    capsys.readouterr()
    assert run(["table", "--records", str(tmp_path / "home"), "--group", "data", "--format", "csv"]) == 0
    assert capsys.readouterr().out.count("timm:resnet10t+linear") == 1  # the newer of two records of one cell on one machine stands for both


def test_a_bundle_of_part_of_the_split_says_so_and_leaves_nothing_behind(edge, tmp_path, monkeypatch):
    pack(tmp_path / "three.zip", parts.members(tmp_path))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    code, out, said = edge("profile", "three.zip", "--profile", "quick.yaml", "--probes", "size,accuracy", "--out", "records", "--json")
    assert code == 0, said
    (record,) = json.loads(out)
    facts = {"file": "three.zip", "sha256": sha256_of_file(tmp_path / "three.zip"), "split": "test", "tiles": 3, "tiles_in_split": 12}
    assert record["detail"]["bundle"] == facts
    (warned,) = [warning for warning in record["warnings"] if warning["kind"] == "part of the split"]
    assert "3 of 12 tiles of test that three.zip holds" in warned["message"]
    assert not list((tmp_path / "tmp").glob("harness*"))


def test_a_record_is_kept_for_the_bundle_that_it_is_of_and_for_no_other(edge, tmp_path):
    files = parts.members(tmp_path)
    pack(tmp_path / "a.zip", files)
    pack(tmp_path / "b.zip", {**files, "data/masks/0.npy": files["data/masks/1.npy"]})
    arguments = ("--profile", "quick.yaml", "--probes", "accuracy", "--out", "records", "--reuse", "--json")
    kept = [json.loads(edge("profile", name, *arguments)[1])[0]["new"] for name in ("a.zip", "a.zip", "b.zip")]
    assert kept == [True, False, True]


def test_what_is_written_of_a_split_is_what_its_reader_gives(home, tmp_path):
    spec, root = DATASETS.load("synthetic"), home / "data" / "synthetic-1-32"
    data = write_tiles(spec, root, "test", tiles=5, out=tmp_path, progress=lambda done, total, what: None)
    source, bundled = spec.open(root, "test"), bundled_spec(tmp_path)
    back = bundled.open(tmp_path, "test")
    assert (len(back), data.tiles_in_split, data.provenance["dataset"]) == (5, 12, "synthetic")
    assert np.load(tmp_path / "images" / "0.npy").dtype == np.uint8
    assert {name: getattr(bundled, name) for name in FACTS} == {name: getattr(spec, name) for name in FACTS}
    for number, index in enumerate((0, 3, 6, 8, 11)):
        mine, theirs = back[number], source[index]
        assert (mine.name, mine.region, mine.bounds, mine.crs) == (theirs.name, theirs.region, theirs.bounds, theirs.crs)
        assert mine.image.tobytes() == theirs.image.tobytes()
        assert mine.mask.tobytes() == theirs.mask.tobytes()
        for name, predict in spec.baselines.items():
            assert (bundled.baselines[name](mine.image) == predict(theirs.image)).all()


def test_accuracy_and_parity_are_those_that_numpy_computes(tmp_path, edge):
    """The reference decides otherwise on 64 of the 256 pixels of one of three tiles."""
    files = parts.members(tmp_path)
    wrong = parts.logits(parts.tile(1)[0])
    wrong[:, :4] += 1e6 * (np.arange(3) == (wrong[:, :4].argmax(0)[..., None] + 1) % 3).transpose(2, 0, 1)
    files["data/reference/1.npy"] = npy(wrong.astype(np.float32))
    pack(tmp_path / "b.zip", files)
    code, out, said = edge("profile", "b.zip", "--profile", "quick.yaml", "--backends", "onnxruntime", "--out", "records", "--json")
    assert code == 0, said
    found = outcomes(json.loads(out)[0])
    scored, expected = np.zeros((2, 3, 3), np.int64), []
    for number in range(parts.TILES):
        image, mask = parts.tile(number)
        own = parts.logits(image)
        reference = wrong if number == 1 else own
        scored += [confusion(decided.argmax(0), mask.astype(np.int64), 3, None) for decided in (own, reference)]
        expected.append((own.argmax(0) == reference.argmax(0)).mean())
    assert expected == [1, 0.75, 1]
    assert found["argmax_agreement"]["samples"][0] == pytest.approx(np.mean(expected))
    assert found["miou"]["samples"][0] == pytest.approx(miou(scored[0], None))
    assert found["miou_drop"]["samples"][0] == pytest.approx(miou(scored[1], None) - miou(scored[0], None))
    assert found["max_abs_error"]["samples"][0] == pytest.approx(1e6, rel=0.01)
    assert found["miou"]["detail"]["baselines"].keys() == {"majority"}
    assert found["graph_flops"]["kind"] == "missing"
    assert "eo-harness[onnx]" in found["graph_flops"]["reason"]


def test_any_onnx_file_is_measured_without_the_package_onnx(tmp_path, edge):
    segmenter(tmp_path / "m.onnx", side=32)
    code, out, said = edge("profile", "m.onnx", "--profile", "quick.yaml", "--backends", "onnxruntime", "--out", "records", "--json")
    assert code == 0, said
    found = outcomes(json.loads(out)[0])
    assert found["latency"]["kind"] == "measured"
    assert found["parameters"]["samples"] == [15.0]
    assert "eo-harness[onnx]" in found["graph_flops"]["reason"]


REFUSED = {
    "another split": (("--profile", "val.yaml"), "tiles of test, the profile scores on val", 2),
    "a data set": (("--profile", "quick.yaml", "--data", "synthetic"), "brings its own tiles", 2),
    "a runtime that reads none of it": (("--profile", "quick.yaml", "--backends", "torch_eager"), "torch", 3),
    "a file's flag": (("--profile", "quick.yaml", "--layout", "NCHW"), "for a model's file", 2),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_bundle_cannot_be_asked_is_said(case, edge, tmp_path):
    more, said, code = REFUSED[case]
    pack(tmp_path / "b.zip", parts.members(tmp_path))
    (tmp_path / "val.yaml").write_text(QUICK.replace("name: quick", "name: val") + "split: val\n")
    found = edge("profile", "b.zip", "--out", "records", *more)
    assert (found[0], said in found[2]) == (code, True), found[2]
    assert not list((tmp_path).glob("records/**/*.json"))


NOT_MADE = {
    "no zip": (("--out", "b.tar"), "is a .zip", 2),
    "an artifact that is not there": (("--artifacts", "onnx-fp16"), "has no artifact 'onnx-fp16'; it has onnx-fp32", 2),
    "too many tiles": (("--tiles", "13"), "the split has 12 tiles", 2),
    "a split that is none": (("--split", "all"), "unknown split 'all'", 2),
    "data that is not prepared": (("--root", "elsewhere"), "is not prepared", 4),
}


@pytest.mark.parametrize("case", NOT_MADE)
def test_a_bundle_that_cannot_be_made_is_not_begun(case, home, tmp_path, monkeypatch, capsys):
    more, said, code = NOT_MADE[case]
    monkeypatch.chdir(tmp_path)
    given = dict(zip(("--out", "--root"), ("b.zip", str(home / "data")), strict=True)) | dict(zip(more[::2], more[1::2], strict=True))
    assert run(["bundle", str(home / "checkpoint"), *[word for pair in given.items() for word in pair]]) == code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_artifact_apart_from_its_checkpoint_and_a_checkpoint_without_artifacts(home, tmp_path, capsys):
    lone = tmp_path / "lone"
    lone.mkdir()
    for file in (home / "checkpoint" / "artifacts" / "onnx-fp32").iterdir():
        (lone / file.name).write_bytes(file.read_bytes())
    assert run(["bundle", str(lone), "--root", str(home / "data"), "--out", str(tmp_path / "b.zip")]) == 4
    assert "does not lie in the folder of its checkpoint" in capsys.readouterr().err
    bare = small_checkpoint(tmp_path / "bare")
    assert run(["bundle", str(bare), "--root", str(home / "data"), "--out", str(tmp_path / "b.zip")]) == 2
    assert "harness export" in capsys.readouterr().err
    assert not (tmp_path / "b.zip").exists()
