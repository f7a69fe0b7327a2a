"""Every exporter keeps the same contract; and TensorRT's real parser and builder take our graphs, where they can be set up without a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.artifact import read_artifact
from harness.core.errors import ConfigError, HarnessError
from harness.core.registry import BACKENDS, EXPORTERS
from harness.support.export_data import CONTEXT, Context
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


@pytest.mark.parametrize("name", NAMES)
def test_an_export_reads_back_and_a_failure_leaves_nothing(name, tmp_path):
    exporter = EXPORTERS.load(name)
    if exporter.unavailable():
        pytest.skip(exporter.unavailable())
    checkpoint = small_checkpoint(tmp_path / "checkpoint")
    options = {CONTEXT: Context("synthetic", None, checkpoint)}
    source = checkpoint
    if exporter.source != "checkpoint":
        source = tmp_path / "source"
        EXPORTERS.load(exporter.source).export(checkpoint, precision="fp32", out=source, options=options)
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
    except tensorrt_offline.Unavailable as reason:
        pytest.skip(f"TensorRT can't be set up without a GPU here: {reason}")


def built(root: Path, cache: Path, *jobs) -> list[dict]:
    """Answers of our exporter in a process that has TensorRT."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(Path.cwd())]), "HARNESS_CACHE": str(cache)}
    found = subprocess.run([sys.executable, "-c", BUILD, json.dumps(jobs)], env=environment, capture_output=True, text=True, check=True, timeout=300)
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_tensorrt_builds_three_pairs_through_our_exporter(root, tmp_path):
    jobs = []
    for index, model in enumerate(PAIRS):
        checkpoint = small_checkpoint(tmp_path / f"checkpoint-{index}", model)
        EXPORTERS.load("onnx").export(checkpoint, precision="fp32", out=tmp_path / f"onnx-{index}", options={})
        jobs.append((str(tmp_path / f"onnx-{index}"), "fp32", str(tmp_path / f"plan-{index}"), {"opt_batch": 2, "max_batch": 4}))
    jobs.append((jobs[0][0], "fp32", str(tmp_path / "flags"), {"tf32": True, "version_compatible": True, "workspace_mb": 256}))
    answers = built(root, tmp_path / "cache", *jobs)
    for index, answer in enumerate(answers[: len(PAIRS)]):
        assert "error" not in answer
        artifact = read_artifact(tmp_path / f"plan-{index}")
        assert (artifact.format, artifact.size) == ("tensorrt", answer["size"])
        assert artifact.size > 100_000
        assert artifact.options["max_batch"] == 4
        assert artifact.options["tensorrt"].startswith("11.")
    assert answers[-1].get("options", {}).get("version_compatible", True) is True
    assert list((tmp_path / "cache" / "tensorrt").glob("*.timings"))


def test_a_graph_that_tensorrt_can_not_parse_is_refused_in_its_parser_s_words(root, tmp_path):
    import onnx

    from harness.core.files import sha256_of_file

    EXPORTERS.load("onnx").export(small_checkpoint(tmp_path / "checkpoint"), precision="fp32", out=tmp_path / "onnx", options={})
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
