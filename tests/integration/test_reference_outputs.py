"""The outputs that parity is against: made once, only when a cell needs them, in plain fp32, and their failure is no end of the run."""

from pathlib import Path

import pytest

from harness.core.artifact import artifact_from_checkpoint
from harness.core.deployment import DeploymentProfile, InputShape, Runtime, Sampling
from harness.core.measurement import Measurement
from harness.core.registry import DATASETS
from harness.profiling.child import measure
from harness.profiling.job import Answer
from harness.profiling.plan import CellPlan
from harness.stages import profiling
from tests.builders import fake_checkpoint

FAST = Sampling(isolate=False, warmup_runs=2, warmup_seconds=0.0, min_runs=8, min_seconds=0.0, max_seconds=2.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    DATASETS.load("synthetic").prepare(folder / "synthetic-1", lambda done, total, what: None)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return fake_checkpoint(tmp_path_factory.mktemp("checkpoint"), DATASETS.load("synthetic"))


@pytest.fixture
def asked(monkeypatch) -> list:
    """The jobs of the reference, which can't be computed."""
    jobs = []

    def run_job(job):
        jobs.append(job)
        return Answer(failed="told to fail")

    monkeypatch.setattr(profiling, "run_job", run_job)
    return jobs


def profile(*probes: str, batch: int = 1, **options) -> DeploymentProfile:
    runtime = Runtime(threads=1, options=options)
    return DeploymentProfile(
        format_version=1, name="test", purpose="tests", runtime=runtime, input=InputShape(batch=batch), sampling=FAST, probes=probes, max_tiles=2
    )


def cells(checkpoint: Path, settings: DeploymentProfile, out: Path, root: Path, *, backend: str = "fake", count: int = 2, **more):
    plans = [CellPlan(checkpoint, artifact_from_checkpoint(checkpoint), backend) for _ in range(count)]
    return list(profiling.profile_cells(plans, settings, out=out, root=root, **more))


def test_a_reference_that_fails_is_tried_once_and_every_cell_has_its_record(checkpoint, root, tmp_path, asked):
    found = cells(checkpoint, profile("size", "parity"), tmp_path, root, count=3)
    assert len(asked) == 1
    for _, record, _ in found:
        assert isinstance(record.outcome("artifact_size"), Measurement)
        assert record.outcome("argmax_agreement").reason == "the reference could not be computed: told to fail"


def test_a_split_smaller_than_a_batch_ends_no_run(checkpoint, root, tmp_path, asked):
    found = cells(checkpoint, profile("size", "parity", batch=500), tmp_path, root)
    assert ["has 12 tiles" in record.detail["failed"] for _, record, _ in found] == [True, True]


@pytest.fixture
def computed(monkeypatch) -> list:
    """The jobs of the reference, which the fake runtime computes in place of PyTorch."""
    jobs = []

    def run_job(job):
        jobs.append(job)
        job.work.mkdir(parents=True)
        return measure(job.model_copy(update={"backend": "fake"}))

    monkeypatch.setattr(profiling, "run_job", run_job)
    return jobs


def test_records_that_are_kept_need_no_reference(checkpoint, root, tmp_path, computed):
    ((path, record, _),) = cells(checkpoint, profile("size", "parity"), tmp_path, root, count=1)
    assert record.measured("argmax_agreement").value == 1.0
    again = cells(checkpoint, profile("size", "parity"), tmp_path, root, count=1, reuse=True)
    assert [(kept, new) for kept, _, new in again] == [(path, False)]
    assert len(computed) == 1


def test_a_record_without_parity_is_kept_only_while_there_is_nothing_to_compare_with(checkpoint, root, tmp_path, computed, monkeypatch):
    """An artifact alone first, then with its checkpoint."""
    settings = profile("size", "parity")
    with monkeypatch.context() as apart:
        apart.setattr(profiling, "_checkpoint_of", lambda plan, plans: None)
        ((_, record, _),) = cells(checkpoint, settings, tmp_path, root, count=1)
        assert "its checkpoint is not beside it" in record.outcome("argmax_agreement").reason
        assert [new for _, _, new in cells(checkpoint, settings, tmp_path, root, count=1, reuse=True)] == [False]
    ((_, record, new),) = cells(checkpoint, settings, tmp_path, root, count=1, reuse=True)
    assert new
    assert record.measured("argmax_agreement").value == 1.0
    ((_, record, new),) = cells(checkpoint, settings, tmp_path, root, count=1, reuse=True)
    assert (new, record.measured("argmax_agreement").value) == (False, 1.0)


@pytest.mark.parametrize(("options", "kept"), [({}, True), ({"tf32": True}, False)])
def test_only_a_run_in_plain_fp32_is_the_reference(checkpoint, root, tmp_path, asked, monkeypatch, options, kept):
    """The cell of torch_eager gives the reference's outputs by the way, unless its options round what it computes: then it is compared too."""
    jobs, whole = [], profiling.record_of

    def record_of(job, *given):
        jobs.append(job)
        return whole(job.model_copy(update={"backend": "fake", "profile": profile("size")}), *given)

    monkeypatch.setattr(profiling, "record_of", record_of)
    cells(checkpoint, profile("size", "parity", **options), tmp_path, root, backend="torch_eager", count=1)
    assert [job.keep_outputs for job in jobs] == [kept]
    assert ("this cell is the reference" in jobs[0].no_reference) == kept
    assert [job.profile.runtime.options for job in asked] == ([] if kept else [{}])


def test_what_has_no_tiles_to_compare_on_says_so(checkpoint, tmp_path, asked, monkeypatch):
    monkeypatch.setattr(profiling, "data_of", lambda artifact, name, root: (None, None))
    ((_, record, _),) = cells(checkpoint, profile("size", "parity"), tmp_path, Path(), count=1)
    assert "no data set" in record.outcome("argmax_agreement").reason
    assert asked == []
