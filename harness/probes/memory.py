"""Peak resident memory by phase: after importing the runtime, while loading, while running."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.support import host_memory

RUNS = 5
QUANTITIES = ("import_memory", "load_memory", "peak_host_memory")


class Memory:
    quantities = QUANTITIES

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        reason = host_memory.resettable()
        if reason:
            yield from (Missing(quantity=name, why="unsupported", reason=reason) for name in QUANTITIES)
            return
        detail = {"source": host_memory.SOURCE}
        yield Measurement(quantity="import_memory", samples=(float(subject.import_peak),), detail=detail)
        yield Measurement(quantity="load_memory", samples=(float(subject.load_peak),), detail=detail)
        _ = subject.first_call_seconds  # what the first call needs for itself, such as compiling, is no part of the peak of a running model
        batch = subject.example()
        subject.session.bind(batch)  # lets go of what was bound, before the peak is reset
        host_memory.release()
        host_memory.reset_peak()
        for _ in range(RUNS):
            subject.session.bind(batch)
            subject.session.run()
            subject.session.sync()
        yield Measurement(quantity="peak_host_memory", samples=(float(host_memory.peak()),), detail={**detail, "runs": RUNS, "batch": batch[0].shape[0]})


PROBE = Memory()
