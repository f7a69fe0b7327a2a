"""Where an export goes, and which of those that are there stay: with exporters that write two files and no graph."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.artifact import ARTIFACT_FILE, CHECKPOINT_FILE, WEIGHTS_FILE, Artifact, read_artifact, read_checkpoint
from harness.core.files import atomic_folder, sha256_of_file, sha256_of_text, write_value
from harness.stages import exporting
from tests.builders import checkpoint


@dataclass
class Exporter:
    """Writes a file that says the settings."""

    format: str
    source: str = "checkpoint"
    defaults: dict = field(default_factory=dict)
    precisions: tuple = ("fp32",)
    unsupported: dict = field(default_factory=dict)
    sources: dict = field(default_factory=lambda: {"fp32": "fp32"})

    def unavailable(self):
        return None

    def settings(self, precision, options):
        return {**self.defaults, **options}

    def export(self, source: Path, *, precision, out, options):
        settings = {**self.defaults, **{name: value for name, value in options.items() if name != "context"}}
        if self.source != "checkpoint":
            settings["source_sha256"] = read_artifact(source).sha256
        facts = checkpoint(data="nowhere")
        with atomic_folder(out) as folder:
            (folder / "model").write_text(f"{self.format} {settings}")
            own = {"format": self.format, "precision": precision, "file": "model", "sha256": sha256_of_file(folder / "model"), "size": 1}
            made = Artifact(**own, inputs=(), outputs=(), checkpoint=facts, checkpoint_sha256=facts.sha256, options=settings)
            write_value(folder / ARTIFACT_FILE, made)
        return made


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    exporters = {"onnx": Exporter("onnx", defaults={"opset": 20}), "openvino": Exporter("openvino", source="onnx")}
    monkeypatch.setattr(exporting, "EXPORTERS", SimpleNamespace(load=exporters.__getitem__))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / WEIGHTS_FILE).write_bytes(b"not read")
    write_value(folder / CHECKPOINT_FILE, checkpoint(data="nowhere"))
    return folder


def names(home: Path) -> dict[str, dict]:
    return {place.name: read_artifact(place).options for place in sorted((home / "artifacts").iterdir()) if place.is_dir()}


def test_what_another_format_is_made_of_does_not_replace_an_export_with_other_settings(home):
    """Somebody asked for it, and a search may be in the middle of measuring it."""
    exporting.export(home, to="onnx", options={"opset": 23})
    made = exporting.export(home, to="openvino")
    assert made[2]
    assert {name: options.get("opset") for name, options in names(home).items()} == {"onnx-fp32": 23, "onnx-fp32-for-openvino": 20, "openvino-fp32": None}
    assert exporting.export(home, to="openvino") == (made[0], made[1], False)
    assert list(names(home)) == ["onnx-fp32", "onnx-fp32-for-openvino", "openvino-fp32"]


def test_what_another_format_is_made_of_is_made_once_in_its_usual_place(home):
    made, _, _ = exporting.export(home, to="onnx")
    exporting.export(home, to="openvino")
    assert list(names(home)) == ["onnx-fp32", "openvino-fp32"]
    stale = read_artifact(made).model_copy(update={"checkpoint_sha256": sha256_of_text("other weights"), "options": {"opset": 23}})
    write_value(made / ARTIFACT_FILE, stale)
    exporting.export(home, to="openvino")
    assert {name: options.get("opset") for name, options in names(home).items()} == {"onnx-fp32": 20, "openvino-fp32": None}


def test_an_equal_export_is_copied_without_what_else_lies_there(home, tmp_path):
    """A link to somebody's private file would become its copy, and a place below would be copied into itself."""
    (tmp_path / "private").write_text("secret")
    folder, artifact, _ = exporting.export(home, to="onnx")
    (folder / "notes").symlink_to(tmp_path / "private")
    for out in (tmp_path / "out", folder / "again"):
        assert exporting.export(home, to="onnx", out=out) == (out, artifact, False)
        assert sorted(path.name for path in out.iterdir()) == [ARTIFACT_FILE, "model"]


def test_an_artifact_that_is_not_whole_is_made_again(home):
    """What read it said that it should be exported again."""
    folder, artifact, _ = exporting.export(home, to="onnx")
    (folder / "model").write_text("cut")
    assert exporting.export(home, to="onnx") == (folder, artifact, True)
    assert read_artifact(folder).checkpoint_sha256 == read_checkpoint(home).sha256


def test_a_file_is_no_place_for_an_artifact(home, tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(exporting.ExportError, match="is a file"):
        exporting.export(home, to="onnx", out=tmp_path / "file")
