"""Time of one pass on the device itself, between two events in its queue: without the launch, and without copies."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject

QUANTITY = "device_latency"
CLOCKLESS = "wall time and device time are the same thing on a CPU; see latency"


class DeviceLatency:
    quantities = (QUANTITY,)

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        reason = _reason(subject)
        if reason:
            yield Missing(quantity=QUANTITY, why="unsupported", reason=reason)
            return
        batches, sampling = subject.examples(), subject.profile.sampling
        seconds = []
        for number in range(sampling.warmup_runs + sampling.min_runs):
            subject.session.bind(batches[number % len(batches)])
            seconds.append(subject.session.device_seconds())  # type: ignore[attr-defined]
        warmup, samples = seconds[: sampling.warmup_runs], seconds[sampling.warmup_runs :]
        yield Measurement(quantity=QUANTITY, samples=tuple(samples), warmup=tuple(warmup), detail={"source": "CUDA events"})


def _reason(subject: Subject) -> str | None:
    if subject.profile.runtime.device == "cpu":
        return CLOCKLESS
    if not hasattr(subject.session, "device_seconds"):
        return "this runtime keeps its queue to itself, so no event can be put around a pass"
    return None


PROBE = DeviceLatency()
