"""What a runtime or an exporter is given and can't use is one clear error: never a crash, a silent cast or a file that it should not read."""

from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import run
from harness.core.artifact import ARTIFACT_FILE, Artifact, read_artifact, read_subject
from harness.core.errors import CheckpointError, ConfigError, ExportError, HarnessError, MeasurementError, UnavailableError
from harness.core.files import sha256_of_file, write_value
from harness.core.registry import BACKENDS, EXPORTERS
from tests.precision_graphs import fragile_graph
from tests.small_checkpoint import small_checkpoint

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def facts(tmp_path_factory) -> Artifact:
    return read_subject(small_checkpoint(tmp_path_factory.mktemp("checkpoint")))


def artifact_in(folder: Path, facts: Artifact, **fields) -> Artifact:
    """The facts of an ONNX artifact whose graph is `folder`/model.onnx, written beside it."""
    file = fields.get("file", "model.onnx")
    artifact = facts.model_copy(update={"format": "onnx", "file": file, "sha256": sha256_of_file(folder / file), **fields})
    write_value(folder / ARTIFACT_FILE, artifact)
    return artifact


def opened(backend: str, folder: Path, artifact: Artifact):
    chosen = BACKENDS.load(backend)
    if chosen.unavailable("cpu"):
        pytest.skip(chosen.unavailable("cpu"))
    return chosen.open(folder, artifact, device="cpu", threads=1, options={})


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("where", ["../weights.bin", "absolute"])
def test_weights_outside_the_artifact_s_folder_are_not_read(backend, where, facts, tmp_path):
    home = tmp_path / "artifact"
    home.mkdir()
    weight = np.ones((1, 1, 1, 1), np.float32)
    (tmp_path / "weights.bin").write_bytes(weight.tobytes())
    model = fragile_graph()
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == "keep_weight"]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(tmp_path / "weights.bin") if where == "absolute" else where)
    (home / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(HarnessError, match=r"outside|escapes|weights\.bin"), opened(backend, home, artifact_in(home, facts)):
        pass


def test_an_opset_that_the_runtime_does_not_know_is_named(facts, tmp_path):
    model = fragile_graph()
    model.opset_import[0].version = 999
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(MeasurementError, match=r"[Oo]pset 999") as caught, opened("onnxruntime", tmp_path, artifact_in(tmp_path, facts)):
        pass
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("opset", "words"), [(19, "older than 20"), (999, "newer than")])
def test_an_opset_that_the_exporter_can_not_write_is_said_before_it_starts(opset, words):
    with pytest.raises(ConfigError, match=words):
        EXPORTERS.load("onnx").settings("fp32", {"opset": opset})


def test_a_graph_with_a_frozen_batch_is_refused_by_the_exporter(tmp_path):
    from exporters.onnx import require_dynamic_batch

    model = fragile_graph()
    onnx.save(model, tmp_path / "free.onnx")
    require_dynamic_batch(tmp_path / "free.onnx")
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, tmp_path / "frozen.onnx")
    with pytest.raises(ExportError, match="froze the batch at 2"):
        require_dynamic_batch(tmp_path / "frozen.onnx")


def test_an_engine_that_was_cut_short_is_refused_by_its_hash_before_any_runtime_sees_it(facts, tmp_path, capsys):
    plan = tmp_path / "model.plan"
    plan.write_bytes(b"ptrt" * 1000)
    artifact_in(tmp_path, facts, format="tensorrt", file="model.plan")
    assert read_artifact(tmp_path).format == "tensorrt"
    plan.write_bytes(plan.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"model\.plan is not the file that was exported"):
        read_artifact(tmp_path)
    assert run(["profile", str(tmp_path), "--out", str(tmp_path / "records")]) == 4
    assert "sha256" in capsys.readouterr().err
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize(("backend", "precision"), [("onnxruntime", "bf16"), ("openvino", "int4")])
def test_a_precision_that_the_runtime_lacks_is_unsupported_and_not_cast(backend, precision, facts, tmp_path):
    onnx.save(fragile_graph(), tmp_path / "model.onnx")
    reason = BACKENDS.load(backend).lacks(precision)
    with pytest.raises(UnavailableError) as caught, opened(backend, tmp_path, artifact_in(tmp_path, facts, precision=precision)):
        pass
    assert reason
    assert reason in str(caught.value)


def test_what_no_exporter_writes_says_why_and_what_instead(tmp_path, capsys):
    checkpoint = small_checkpoint(tmp_path / "checkpoint")
    assert run(["export", str(checkpoint), "--to", "torch_export", "--precision", "int8-static"]) == 2
    assert "unsupported: torch_export in int8-static" in capsys.readouterr().err
    assert not (checkpoint / "artifacts").exists()
