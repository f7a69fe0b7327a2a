"""The engine scores as the plain PyTorch loop does; how fast is the benchmark's to say."""

from harness.core.registry import DATASETS
from tests.benchmarks import evaluation
from tests.small_checkpoint import small_checkpoint


def test_windows_in_shared_calls_give_the_plain_loops_confusion_matrix(tmp_path, monkeypatch):
    """Windows of 64 px over tiles of 256 px; the benchmark refuses another matrix."""
    monkeypatch.setattr(evaluation, "TILES", 3)
    DATASETS.load("synthetic").prepare(tmp_path / "data", lambda done, total, what: None, tile=evaluation.TILE)
    checkpoint = small_checkpoint(tmp_path / "checkpoint", size=evaluation.SIDE)
    found = evaluation.compared(checkpoint, checkpoint, "torch_eager", tmp_path / "data", 1)
    assert found["pixels"] == 3 * evaluation.TILE**2
    assert found["pixels_decided_otherwise"] <= evaluation.TIES * found["pixels"]
    assert found["miou"]["ours"] == found["miou"]["all scores"]
    assert found["plain_over_ours"]["interval"] is None  # one round
