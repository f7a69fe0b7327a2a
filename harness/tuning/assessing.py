"""A candidate alone, in a process of its own: what it decides beside the network, its memory, and its latency for a limit."""

from __future__ import annotations

import functools
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.core.deployment import DeploymentProfile, InputShape, Runtime, Sampling
from harness.core.errors import HarnessError, MeasurementError
from harness.core.measurement import Interval, Measurement
from harness.core.record import ProfileRecord
from harness.core.registry import DATASETS
from harness.core.specs import Value
from harness.profiling.decisions import Decisions, compare_decisions
from harness.profiling.job import Job
from harness.profiling.plan import job_of
from harness.profiling.run import record_of, write_examples
from harness.tuning.candidates import Candidate

#: Of a candidate alone, and of the warm-up of one that is raced; a race has its own stopping rule.
QUICK = Sampling(warmup_runs=3, warmup_seconds=0.5, warmup_max_seconds=15, min_runs=10, min_seconds=1, max_seconds=6, target_halfwidth=0.05)

NO_REFERENCE = "tune compares what is decided, tile by tile"


class Assessed(Value):
    """What one process said of a candidate, in base units; `failed`: why it said nothing.

    `drop`: mIoU of the network minus the candidate's, with the paired interval over regions. `latency_bounds`: of the median call.
    `seconds`: wall time of its process.
    """

    failed: str = ""
    miou: float | None = None
    drop: float | None = None
    drop_bounds: tuple[float, float] | None = None
    agreement: float | None = None
    memory: float | None = None
    latency: float | None = None
    latency_bounds: tuple[float, float] | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Setting:
    """What is the same for all candidates. `root`: folder of the data set's tiles; `work`: for inputs and outputs."""

    dataset: str
    root: Path
    split: str
    tiles: int | None
    device: str
    work: Path

    def profile(self, candidate: Candidate, probes: tuple[str, ...], timeout: float) -> DeploymentProfile:
        """What a candidate's process is told."""
        plan = candidate.plan
        runtime = Runtime(
            backend=plan.backend,
            format=plan.artifact.format,
            precision=plan.artifact.precision,
            device=self.device,
            threads=candidate.threads,
            options=dict(candidate.options),
        )
        return DeploymentProfile(
            format_version=1,
            name="tune",
            purpose="harness tune",
            runtime=runtime,
            input=InputShape(batch=candidate.batch),
            sampling=QUICK.model_copy(update={"timeout_seconds": timeout}),
            probes=probes,
            split=self.split,
            max_tiles=self.tiles,
        )

    def folder(self, candidate: Candidate, what: str) -> Path:
        """Where a process of a candidate keeps its inputs, outputs and messages."""
        return self.work / what / hashlib.sha256(candidate.key.encode()).hexdigest()[:16]

    def job(self, candidate: Candidate, what: str, *, probes: tuple[str, ...] = ("latency",), timeout: float = 900.0) -> Job:
        """The job of a candidate, with its inputs written. Raises HarnessError where there are fewer tiles than a batch takes."""
        profile, work = self.profile(candidate, probes, timeout), self.folder(candidate, what)
        job = job_of(candidate.plan, profile, candidate.threads, self.dataset, self.root, work, no_reference=NO_REFERENCE)
        job.work.mkdir(parents=True, exist_ok=True)
        write_examples(job, candidate.plan.artifact)
        return job


class Jury:
    """Scores candidates on the same tiles as the reference, whose outputs it computes when first needed."""

    def __init__(self, setting: Setting, reference: Candidate) -> None:
        self._setting, self._reference = setting, reference

    def assess(self, candidate: Candidate, *, timeout: float) -> Assessed:
        """Score, memory and latency of a candidate; a failure of its own is said in the answer, one of the reference is raised."""
        record, reference = self._ran
        outputs, is_reference = reference, candidate.key == self._reference.key
        try:
            if not is_reference:
                record, outputs = self._run(candidate, timeout)
            return _assessed(record, self._decisions(reference, outputs), self._setting.device)
        except HarnessError as error:
            return Assessed(failed=error.message)
        finally:
            if not is_reference:
                shutil.rmtree(self._setting.folder(candidate, "alone"), ignore_errors=True)

    @functools.cached_property
    def _ran(self) -> tuple[ProfileRecord, Path]:
        try:
            return self._run(self._reference, 3600.0)
        except HarnessError as error:
            raise MeasurementError(f"{self._reference.label}, which all are compared with, failed: {error.message}", error.hint) from error

    def _run(self, candidate: Candidate, timeout: float) -> tuple[ProfileRecord, Path]:
        """Raises MeasurementError where it gave no outputs."""
        job = self._setting.job(candidate, "alone", probes=("latency", "memory", "accuracy"), timeout=timeout)
        record = record_of(job, candidate.plan.artifact)
        if record.detail["failed"]:
            raise MeasurementError(str(record.detail["failed"]))
        scored = record.outcome("miou")
        if not isinstance(scored, Measurement):
            raise MeasurementError(scored.reason)
        return record, job.outputs_folder

    def _decisions(self, reference: Path, outputs: Path) -> Decisions:
        spec = DATASETS.load(self._setting.dataset)
        source = spec.open(self._setting.root, self._setting.split)
        count = min(len(source), self._setting.tiles or len(source))
        return compare_decisions((source[index] for index in range(count)), reference, outputs, len(spec.classes), spec.ignore_index)


def _assessed(record: ProfileRecord, decided: Decisions, device: str) -> Assessed:
    latency, memory = record.measured("latency"), record.measured("peak_device_memory" if device == "cuda" else "peak_host_memory")
    return Assessed(
        miou=decided.after,
        drop=decided.drop,
        drop_bounds=_bounds(decided.interval),
        agreement=decided.agreement,
        memory=memory.value if memory else None,
        latency=latency.value if latency else None,
        latency_bounds=_bounds(latency.interval()) if latency else None,
    )


def _bounds(interval: Interval | None) -> tuple[float, float] | None:
    return (interval.low, interval.high) if interval else None
