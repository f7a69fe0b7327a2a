"""The outputs that parity is against: made once, only when a cell needs them, in plain fp32, and their failure is no end of the run."""

from pathlib import Path

import pytest

from harness.core.artifact import artifact_from_checkpoint
from harness.core.deployment import DeploymentProfile, InputShape, Runtime, Sampling
from harness.core.measurement import Measurement
from harness.core.registry import DATASETS
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


def test_records_that_are_kept_need_no_reference(checkpoint, root, tmp_path, asked):
    first = cells(checkpoint, profile("size", "parity"), tmp_path, root, count=1)
    asked.clear()
    again = cells(checkpoint, profile("size", "parity"), tmp_path, root, count=1, reuse=True)
    assert [(path, new) for path, _, new in again] == [(first[0][0], False)]
    assert asked == []


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
