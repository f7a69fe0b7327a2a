"""The process that looks into one cell, layer by layer: `python -m harness.profiling.layers JOB.json`. No figure of a record comes from it."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.core.artifact import Artifact, read_subject
from harness.core.errors import MeasurementError
from harness.core.files import read_value, write_value
from harness.core.layers import LayerView
from harness.core.registry import BACKENDS
from harness.profiling.isolate import run_job, serve
from harness.profiling.job import Job
from harness.profiling.run import write_examples
from harness.profiling.subject import example_of
from harness.support.clock import wall_clock
from harness.support.layout import require_readable

RUNS = 20
MODULE = "harness.profiling.layers"


def view_of(job: Job, artifact: Artifact, record: str) -> LayerView:
    """The layers of a cell, in a fresh process. Raises MeasurementError where the backend can't be looked into, or it fails."""
    if not hasattr(BACKENDS.load(job.backend), "layers"):
        raise MeasurementError(f"backend {job.backend} does not say where its time goes", "harness profile SUBJECT --layers --backends onnxruntime,openvino")
    job = job.model_copy(update={"work": job.work / "layers"})
    job.work.mkdir(parents=True, exist_ok=True)
    write_examples(job, artifact)
    answer = run_job(job, MODULE)
    if answer.failed or not _view_file(job).is_file():
        raise MeasurementError(answer.failed or "the process that looks at layers gave no answer")
    return read_value(_view_file(job), LayerView, MeasurementError).model_copy(update={"record": record})


def _view_file(job: Job) -> Path:
    return job.work / "view.json"


def look(job: Job) -> None:
    """Ask the backend, in this process, and write down what it says."""
    artifact = job.artifact or read_subject(job.folder)
    require_readable(artifact, job.folder)
    seen = BACKENDS.load(job.backend).layers(
        job.folder,
        artifact,
        device=job.device,
        threads=job.threads,
        options=job.profile.runtime.options,
        inputs=example_of(job, artifact),
        runs=RUNS,
        clock=wall_clock,
        work=job.work,
    )
    facts = {"backend": job.backend, "runs": RUNS, "batch": job.profile.input.batch}
    view = LayerView(record="", **facts, source=seen.source, weights=dict(seen.weights), layers=seen.layers)
    write_value(_view_file(job), view)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], look))
