"""Every exporter keeps the same contract; and TensorRT's real parser and builder take our graphs, where they can be set up without a GPU."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.core.artifact import ARTIFACT_FILE, read_artifact
from harness.core.errors import ConfigError, HarnessError
from harness.core.files import sha256_of_file, write_value
from harness.core.registry import BACKENDS, EXPORTERS
from harness.support.export_data import CONTEXT, Context, Tiles
from tests import tensorrt_offline
from tests.small_checkpoint import small_checkpoint

NAMES = EXPORTERS.names()
PAIRS = ("timm:resnet10t+linear", "timm:resnet10t+fpn", "timm:test_vit+linear")
BUILD = """
import json, sys
from pathlib import Path
from harness.core.errors import HarnessError
from harness.core.registry import EXPORTERS
exporter = EXPORTERS.load("tensorrt")
for source, precision, out, options in json.loads(sys.argv[1]):
    try:
        artifact = exporter.export(Path(source), precision=precision, out=Path(out), options=options)
        print(json.dumps({"size": artifact.size, "options": artifact.options}))
    except HarnessError as error:
        print(json.dumps({"error": str(error)}))
"""


@pytest.mark.parametrize("name", NAMES)
def test_it_declares_what_it_makes_and_from_what(name):
    exporter = EXPORTERS.load(name)
    assert exporter.precisions
    assert not set(exporter.precisions) & set(exporter.unsupported)
    assert exporter.format in {form for backend in BACKENDS.names() for form in BACKENDS.load(backend).formats}
    if exporter.source != "checkpoint":
        assert set(exporter.sources) == set(exporter.precisions)
        assert set(exporter.sources.values()) <= set(EXPORTERS.load(exporter.source).precisions)


@pytest.mark.parametrize("name", NAMES)
def test_its_settings_have_defaults_and_others_are_refused(name):
    exporter = EXPORTERS.load(name)
    for precision in exporter.precisions:
        defaults = exporter.settings(precision, {})
        assert exporter.settings(precision, defaults) == defaults
        with pytest.raises(ConfigError, match="no setting colour"):
            exporter.settings(precision, {"colour": "blue"})


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Path:
    """An fp32 ONNX artifact of the first pair, with its checkpoint beside it."""
    home = tmp_path_factory.mktemp("graph")
    EXPORTERS.load("onnx").export(small_checkpoint(home / "checkpoint", PAIRS[0]), precision="fp32", out=home / "onnx", options={})
    return home / "onnx"


@pytest.mark.parametrize("name", NAMES)
def test_an_export_reads_back_and_a_failure_leaves_nothing(name, tmp_path, request):
    exporter = EXPORTERS.load(name)
    if exporter.unavailable():
        pytest.skip(exporter.unavailable())
    checkpoint = small_checkpoint(tmp_path / "checkpoint")
    options = {CONTEXT: Context("synthetic", None, checkpoint)}
    source = checkpoint if exporter.source == "checkpoint" else request.getfixturevalue("graph")
    artifact = exporter.export(source, precision="fp32", out=tmp_path / "out", options=options)
    assert read_artifact(tmp_path / "out") == artifact
    assert (artifact.format, artifact.precision) == (exporter.format, "fp32")
    assert artifact.inputs[0].shape == ("batch", 4, 32, 32)
    assert artifact.parity["max_relative_error"] <= artifact.parity["tolerance"]
    assert artifact.tool_versions
    with pytest.raises(HarnessError):
        exporter.export(tmp_path / "no-such", precision="fp32", out=tmp_path / "failed", options=options)
    assert not (tmp_path / "failed").exists()


@pytest.fixture(scope="module")
def root() -> Path:
    try:
        return tensorrt_offline.import_root()
    except tensorrt_offline.UnavailableError as reason:
        pytest.skip(f"TensorRT can't be set up without a GPU here: {reason}")


def built(root: Path, cache: Path, *jobs) -> list[dict]:
    """Answers of our exporter in a process that has TensorRT."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(Path.cwd())]), "HARNESS_CACHE": str(cache)}
    found = subprocess.run([sys.executable, "-c", BUILD, json.dumps(jobs)], env=environment, capture_output=True, text=True, check=True, timeout=300)
    return [json.loads(line) for line in found.stdout.splitlines()]


def in_precision(source: Path, target: Path, precision: str) -> Path:
    """The ONNX artifact in `source` lowered as the exporter does it, with ranges from random images."""
    from tests.zoo_check.precisions import lowered

    artifact = read_artifact(source)
    images = np.random.default_rng(0).normal(100, 25, (2, *artifact.inputs[0].shape[1:])).astype(np.float32)
    target.mkdir()
    file = lowered(source / artifact.file, target / artifact.file, precision, Tiles(images, np.zeros((2, 32, 32), np.int64), ("a", "b"), ""))
    write_value(target / ARTIFACT_FILE, artifact.model_copy(update={"precision": precision, "sha256": sha256_of_file(file)}))
    return target


def test_tensorrt_builds_three_pairs_in_four_precisions_through_our_exporter(root, graph, tmp_path):
    sources = [graph]
    for index, model in enumerate(PAIRS[1:], 1):
        checkpoint = small_checkpoint(tmp_path / f"checkpoint-{index}", model)
        EXPORTERS.load("onnx").export(checkpoint, precision="fp32", out=tmp_path / f"onnx-{index}", options={})
        sources.append(tmp_path / f"onnx-{index}")
    jobs = []
    for index, source in enumerate(sources):
        jobs.append((str(source), "fp32", str(tmp_path / f"plan-{index}"), {"opt_batch": 2, "max_batch": 4}))
    for precision in ("fp16", "int8-static"):
        source = in_precision(tmp_path / "onnx-1", tmp_path / precision, precision)
        jobs.append((str(source), precision, str(tmp_path / f"plan-{precision}"), {"opt_batch": 2, "max_batch": 4}))
    # Of operators that TensorRT takes in bf16, and of two that stay in fp32 since it does not.
    checkpoint = small_checkpoint(tmp_path / "checkpoint-bf16", "timm:mobilenetv3_small_100+unet")
    EXPORTERS.load("onnx").export(checkpoint, precision="fp32", out=tmp_path / "onnx-22", options={"opset": 22})
    source = in_precision(tmp_path / "onnx-22", tmp_path / "bf16", "bf16")
    jobs.append((str(source), "bf16", str(tmp_path / "plan-bf16"), {"opt_batch": 2, "max_batch": 4}))
    jobs.append((jobs[0][0], "fp32", str(tmp_path / "flags"), {"tf32": True, "version_compatible": True, "workspace_mb": 256}))
    answers = built(root, tmp_path / "cache", *jobs)
    for index, answer in enumerate(answers[: len(PAIRS)]):
        assert "error" not in answer
        artifact = read_artifact(tmp_path / f"plan-{index}")
        assert (artifact.format, artifact.size) == ("tensorrt", answer["size"])
        assert artifact.size > 100_000
        assert artifact.options["max_batch"] == 4
        assert artifact.options["tensorrt"].startswith("11.")
    for precision in ("fp16", "int8-static"):
        assert read_artifact(tmp_path / f"plan-{precision}").precision == precision
        assert read_artifact(tmp_path / f"plan-{precision}").size < 0.75 * read_artifact(tmp_path / "plan-1").size
    assert "error" not in answers[-2]
    assert read_artifact(tmp_path / "plan-bf16").precision == "bf16"
    assert answers[-1].get("options", {}).get("version_compatible", True) is True
    assert list((tmp_path / "cache" / "tensorrt").glob("*.timings"))


def test_a_graph_that_tensorrt_can_not_parse_is_refused_in_its_parser_s_words(root, graph, tmp_path):
    import onnx

    shutil.copytree(graph, tmp_path / "onnx")
    model = onnx.load(tmp_path / "onnx" / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "onnx" / "model.onnx")
    facts = json.loads((tmp_path / "onnx" / "artifact.json").read_text())
    (tmp_path / "onnx" / "artifact.json").write_text(json.dumps({**facts, "sha256": sha256_of_file(tmp_path / "onnx" / "model.onnx")}))
    (answer,) = built(root, tmp_path / "cache", (str(tmp_path / "onnx"), "fp32", str(tmp_path / "plan"), {}))
    assert "cannot parse model.onnx" in answer["error"]
    assert "NoSuchOperator" in answer["error"]
    assert not (tmp_path / "plan").exists()


def test_batches_out_of_order_are_refused():
    with pytest.raises(ConfigError, match="larger than max_batch"):
        EXPORTERS.load("tensorrt").settings("fp32", {"opt_batch": 16})


def test_an_opset_that_torch_can_not_write_is_said_with_the_one_that_it_can(monkeypatch, tmp_path):
    import torch

    def refuse(*_, **__):
        raise torch.onnx.OnnxExporterError("Error calling _deserialize_graph with: main_graph")

    checkpoint, exporter = small_checkpoint(tmp_path / "checkpoint"), EXPORTERS.load("onnx")
    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(HarnessError, match="to opset 26: Error") as caught:
        exporter.export(checkpoint, precision="fp32", out=tmp_path / "out", options={"opset": 26})
    assert caught.value.hint == "--opset 20"
    assert not (tmp_path / "out").exists()
