"""Two artifacts on one machine for a check: latency in turns within shared processes, memory in turns of fresh ones.

`python -m harness.profiling.paired JOB.json` is the shared process; its baseline lies beside the job in `pair.json`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from harness.core.errors import HarnessError, MeasurementError
from harness.core.files import read_value, write_value
from harness.core.measurement import Measurement, percentile
from harness.core.ports import Session
from harness.core.specs import Value
from harness.profiling.isolate import end_with_parent, run_job
from harness.profiling.job import Answer, Job
from harness.profiling.rounds import calls_per_visit, time_rounds
from harness.profiling.subject import OpenSubject, opened
from harness.support.clock import settle
from harness.support.sampling import warm_up

MODULE = "harness.profiling.paired"


class Pair(Value):
    """What the shared process is told beyond the candidate's job."""

    baseline: Job
    rounds: int
    visit_seconds: float
    max_seconds: float
    candidate_first: bool = False


def latency_rounds(candidate: Job, pair: Pair) -> list[tuple[float, ...]]:
    """Rounds (baseline, twin, candidate) in seconds, from one fresh process. Raises MeasurementError with why it ended."""
    write_value(candidate.work / "pair.json", pair)
    answer = run_job(candidate, MODULE)
    if answer.failed:
        raise MeasurementError(f"timing in turns failed: {answer.failed}", "harness profile each of the two, to see which one fails")
    return [tuple(one) for one in answer.facts["rounds"]]


def memory_pairs(candidate: Job, baseline: Job, *, pairs: int, work: Path) -> list[dict[str, tuple[float, float]]]:
    """Peak memory by quantity, (baseline's, candidate's), each value from a process of its own; the order within a pair alternates.

    `work` is an empty folder. A quantity that one side could not measure is not in its pair.
    """
    return [_memory_pair({"before": baseline, "after": candidate}, work / str(number), backward=bool(number % 2)) for number in range(pairs)]


def _memory_pair(jobs: dict[str, Job], work: Path, *, backward: bool) -> dict[str, tuple[float, float]]:
    turns = list(jobs)[::-1] if backward else list(jobs)
    found = {name: _memory_of(jobs[name], work / name) for name in turns}
    return {name: (value, found["after"][name]) for name, value in found["before"].items() if name in found["after"]}


def _memory_of(job: Job, work: Path) -> dict[str, float]:
    """What a fresh process says of its memory, with the inputs that the job has already."""
    work.mkdir(parents=True)
    for file in job.work.glob("inputs*.npy"):
        (work / file.name).symlink_to(file)
    only = job.profile.model_copy(update={"probes": ("memory",)})
    answer = run_job(job.model_copy(update={"profile": only, "work": work}))
    return {outcome.quantity: outcome.value for outcome in answer.outcomes if isinstance(outcome, Measurement)}


def time_in_turns(subjects: Sequence[OpenSubject], pair: Pair) -> list[tuple[float, ...]]:
    """Warm all up, then time them in turns over their own inputs. The clock is the subjects' own."""
    clock = subjects[0].clock
    arms = [call_of(subject.session, subject.examples()) for subject in subjects]
    sampling = subjects[0].profile.sampling
    warm = [percentile(warm_up(arm, sampling, clock)[-5:], 0.5) for arm in arms]
    calls = calls_per_visit(max(warm), pair.visit_seconds)
    return time_rounds(arms, clock, rounds=pair.rounds, calls=calls, max_seconds=pair.max_seconds, rest=settle)


def call_of(session: Session, batches: Sequence[list[np.ndarray]]) -> Callable[[], None]:
    """One synchronous call over the first batch, bound once: the same bytes for every arm."""
    session.bind(batches[0])

    def call() -> None:
        session.run()
        session.sync()

    return call


def _measure(job: Job, pair: Pair) -> Answer:
    """Open all three, the candidate first or last, and time them; what is opened later finds another layout of memory."""
    jobs = [pair.baseline, pair.baseline, job]
    with contextlib.ExitStack() as stack:
        if pair.candidate_first:
            subjects = [stack.enter_context(opened(one)) for one in jobs[::-1]][::-1]
        else:
            subjects = [stack.enter_context(opened(one)) for one in jobs]
        return Answer(facts={"rounds": time_in_turns(subjects, pair)})


def main(argv: list[str]) -> int:
    end_with_parent()
    job = read_value(Path(argv[0]), Job, MeasurementError)
    try:
        answer = _measure(job, read_value(job.work / "pair.json", Pair, MeasurementError))
    except HarnessError as error:
        write_value(job.answer_file, Answer(failed=str(error)))
        return error.exit_code
    write_value(job.answer_file, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
