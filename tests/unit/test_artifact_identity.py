"""Which bytes an artifact is: of an OpenVINO IR the weights lie beside the graph, and two networks of one kind have the same graph."""

from pathlib import Path

import pytest

from harness.cli.report import _records_of
from harness.core.artifact import ARTIFACT_FILE, Artifact
from harness.core.files import sha256_of_file, write_value
from harness.core.specs import TensorSpec
from harness.profiling.plan import CellPlan, job_of
from harness.profiling.run import cell_of, work_folder
from harness.results.store import write_record
from harness.tuning.candidates import Candidate
from tests.builders import checkpoint, profile, record


def ir(folder: Path, weights: bytes, *, model: str = "unet+unet") -> Artifact:
    """A graph that is the same for all, and its own weights."""
    folder.mkdir(parents=True)
    (folder / "model.xml").write_text("<net/>")
    (folder / "model.bin").write_bytes(weights)
    made = checkpoint(model)
    artifact = Artifact(
        format="openvino",
        precision="int8-static",
        file="model.xml",
        sha256=sha256_of_file(folder / "model.xml"),
        files={"model.bin": sha256_of_file(folder / "model.bin")},
        size=6 + len(weights),
        inputs=(TensorSpec(name="image", shape=("batch", 3, 128, 128), dtype="float32"),),
        outputs=(TensorSpec(name="logits", shape=("batch", 2, 128, 128), dtype="float32"),),
        checkpoint=made,
        checkpoint_sha256=made.sha256,
    )
    write_value(folder / ARTIFACT_FILE, artifact)
    return artifact


def test_the_cell_the_folder_of_its_work_and_the_key_of_a_candidate_tell_weights_apart(tmp_path):
    one, other = ir(tmp_path / "a", b"one"), ir(tmp_path / "b", b"other")
    assert one.sha256 == other.sha256
    plans = [CellPlan(tmp_path, artifact, "openvino") for artifact in (one, other)]
    cells = [cell_of(job_of(plan, profile(), 1, None, None, tmp_path), plan.artifact) for plan in plans]
    assert cells[0] != cells[1]
    assert work_folder(tmp_path, "openvino", one) != work_folder(tmp_path, "openvino", other)
    assert len({Candidate(plan, 1, 1).key for plan in plans}) == 2


def test_a_file_that_is_whole_by_itself_keeps_its_hash(tmp_path):
    artifact = ir(tmp_path / "a", b"one").model_copy(update={"files": {}})
    assert artifact.identity == artifact.sha256


@pytest.mark.parametrize("has_old_record", [False, True])
def test_a_report_is_of_the_records_of_these_weights(tmp_path, has_old_record):
    """Records from before have the hash of the graph alone, so the checkpoint tells whose they are."""
    mine, other = ir(tmp_path / "a", b"one"), ir(tmp_path / "b", b"other", model="unet+fpn")
    for artifact in (mine, other):
        sha256 = artifact.sha256 if has_old_record else artifact.identity
        write_record(tmp_path / "records", record(made=artifact.checkpoint, backend="openvino", artifact_sha256=sha256))
    ((found, _),) = _records_of(tmp_path / "a", tmp_path / "records")
    assert found.cell.checkpoint_sha256 == mine.checkpoint_sha256
