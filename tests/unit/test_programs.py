"""A `.pt2` file that would run code when torch.export loads it is refused, and nothing of it runs."""

import io
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.errors import MeasurementError
from harness.support.layout import require_readable
from harness.support.programs import TENSORS_ONLY, load_program

torch = pytest.importorskip("torch")


class Evil:
    """Makes the folder `pwned` where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "m.pt2"
    sides = {0: torch.export.Dim("batch", min=1, max=64)}
    torch.export.save(torch.export.export(torch.nn.Conv2d(3, 4, 1).eval(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=(sides,)), path)
    return path


def changed(program: Path, target: Path, name: str, content: bytes) -> Path:
    """The archive with one record replaced or added."""
    with zipfile.ZipFile(program) as before, zipfile.ZipFile(target, "w") as after:
        for info in before.infolist():
            if info.filename != name:
                after.writestr(info.filename, before.read(info))
        after.writestr(name, content)
    return target


def pickled() -> bytes:
    buffer = io.BytesIO()
    torch.save(Evil(), buffer)
    return buffer.getvalue()


def test_a_size_that_would_be_run_is_refused_before_the_artifact_is_opened(program, tmp_path):
    """Also in an artifact that says that it was exported here."""
    with zipfile.ZipFile(program) as archive:
        graph = archive.read("m/models/model.json").replace(b"Symbol('", b"__import__('", 1)
    changed(program, tmp_path / "model.pt2", "m/models/model.json", graph)
    artifact = SimpleNamespace(options={}, file="model.pt2", format="pt2")
    with pytest.raises(MeasurementError, match="not arithmetic on symbols"):
        require_readable(artifact, tmp_path)
    changed(program, tmp_path / "model.pt2", "m/byteorder", b"little")
    require_readable(artifact, tmp_path)


def test_a_program_is_loaded_as_torch_loads_it(program, monkeypatch):
    monkeypatch.delenv(TENSORS_ONLY, raising=False)
    image = torch.arange(192.0).reshape(1, 3, 8, 8)
    assert torch.equal(load_program(program).module()(image), torch.export.load(program).module()(image))
    assert TENSORS_ONLY not in os.environ


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m/data/sample_inputs/model.pt", "a pickle of more than tensors"),
        ("m/data/weights/model.pt", "a pickle of more than tensors"),
        ("m/data/constants/opaque_obj_0", "would be run; refused"),
        ("m/data/constants/CUSTOM_OBJ_0", "would be run; refused"),
        ("m/data/aotinductor/model/model.so", "would be run; refused"),
        ("m/models/other.json", "wanted models/model.json alone"),
    ],
)
def test_what_would_be_run_is_refused(program, tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MeasurementError, match=said):
        load_program(changed(program, tmp_path / "evil.pt2", name, pickled()))
    assert not (tmp_path / "pwned").exists()
