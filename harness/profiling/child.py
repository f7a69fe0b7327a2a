"""The process that measures one cell: `python -m harness.profiling.child JOB.json`. The exit code is 0 when every probe answered."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from harness.core.deployment import MORE_PROBES
from harness.core.deployment import PROBES as FIRST
from harness.core.errors import HarnessError
from harness.core.files import write_value
from harness.core.measurement import Measurement, Missing, Outcome
from harness.core.ports import Probe
from harness.core.registry import PROBES
from harness.profiling.isolate import serve
from harness.profiling.job import Answer, Job
from harness.profiling.stability import advice_on
from harness.profiling.subject import OpenSubject, opened


def measure(job: Job) -> Answer:
    """Open the artifact and ask each probe of the profile in a fixed order; what was measured is on disk after each probe.

    Raises the HarnessError of an artifact that can't be opened.
    """
    with opened(job) as subject:
        answer = Answer(facts=dict(subject.session.facts()), example_source=subject.example_source)
        for name in in_order(job.profile.probes):
            outcomes = (*answer.outcomes, *ask(PROBES.load(name), subject))
            subject.known = {outcome.quantity: outcome for outcome in outcomes if isinstance(outcome, Measurement)}
            answer = answer.model_copy(update={"outcomes": outcomes, "warnings": advice_on(outcomes)})
            write_value(job.answer_file, answer)
        answer = answer.model_copy(update={"is_whole": True})
        write_value(job.answer_file, answer)  # before the runtime is closed, which crashes some
    return answer


def in_order(probes: Iterable[str]) -> list[str]:
    """The probes in the order in which they run: memory before there are samples of others to keep, those of other packages last."""
    order = ["memory", *FIRST, *MORE_PROBES]
    return sorted(probes, key=lambda name: (order.index(name) if name in order else len(order), name))


def ask(probe: Probe, subject: OpenSubject) -> list[Outcome]:
    """All outcomes of a probe; what it did not reach before it failed is Missing with the error's message."""
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(probe.measure(subject))
    except HarnessError as error:
        outcomes.extend(unanswered(probe, outcomes, error.message))
    except MemoryError:
        outcomes.extend(unanswered(probe, outcomes, "out of memory"))
    except Exception as error:  # noqa: BLE001  a runtime's own kind of error: it ends this probe, not the others
        outcomes.extend(unanswered(probe, outcomes, f"{type(error).__name__}: {' '.join(str(error).split())}"))
    return outcomes


def unanswered(probe: Probe, outcomes: list[Outcome], reason: str) -> list[Outcome]:
    answered = {outcome.quantity for outcome in outcomes}
    return [Missing(quantity=name, why="failed", reason=reason) for name in probe.quantities if name not in answered]


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], measure))
