"""Loading is not charged with imports: seconds and bytes of these are no property of the artifact."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.small_checkpoint import small_checkpoint

#: What a process does before and while it opens an artifact (`harness.profiling.subject.opened`), and which modules the opening imports.
CODE = """
import sys
from pathlib import Path
from types import SimpleNamespace

from harness.core.artifact import read_subject
from harness.core.registry import BACKENDS

folder, name = Path(sys.argv[1]), sys.argv[2]
artifact = SimpleNamespace(file="m.pt2") if name == "torch_export" else read_subject(folder)
backend = BACKENDS.load(name)
assert backend.unavailable("cpu") is None
if hasattr(backend, "import_model"):
    backend.import_model(artifact)
before = set(sys.modules)
with backend.open(folder, artifact, device="cpu", threads=1, options={}):
    print(len(set(sys.modules) - before))
"""


@pytest.mark.parametrize("name", ["torch_eager", "torch_compile", "torch_export"])
def test_opening_imports_next_to_nothing(name, tmp_path):
    small_checkpoint(tmp_path)
    torch.export.save(torch.export.export(torch.nn.Conv2d(3, 4, 3).eval(), (torch.zeros(1, 3, 8, 8),)), tmp_path / "m.pt2")
    here = Path(__file__).parents[2]
    imported = subprocess.run([sys.executable, "-c", CODE, str(tmp_path), name], check=True, capture_output=True, text=True, cwd=here).stdout
    assert int(imported.splitlines()[-1]) < 60
