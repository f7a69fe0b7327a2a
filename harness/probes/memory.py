"""Memory by phase: after importing the runtime, while loading, while running; what is weights, activations and libraries; and the device's."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.support import device_memory, host_memory

RUNS = 5
HOST = ("import_memory", "load_memory", "weight_memory", "peak_host_memory", "activation_memory", "library_memory")
DEVICE = "peak_device_memory"
ON_HOST = "the model runs on the CPU, whose memory is the host's"


class Memory:
    quantities = (*HOST, DEVICE)

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        _ = subject.first_call_seconds  # what the first call needs for itself, such as compiling, is no part of the peaks of a running model
        batch, session = subject.example(), subject.session
        session.bind(batch)  # lets go of what was bound, before the peaks are reset
        unknown = host_memory.resettable()
        if not unknown:
            host_memory.release()
            host_memory.reset_peak()
        counts = subject.profile.runtime.device == "cuda" and hasattr(session, "reset_device_peak")
        if counts:
            session.reset_device_peak()  # type: ignore[attr-defined]
        for _ in range(RUNS):
            session.bind(batch)
            session.run()
            session.sync()
        detail = {"runs": RUNS, "batch": batch[0].shape[0]}
        if unknown:
            yield from (Missing(quantity=name, why="unsupported", reason=unknown) for name in HOST)
        else:
            yield from _host(subject, detail)
        yield _device(subject, detail, counts=counts)


def _host(subject: Subject, detail: dict[str, object]) -> Iterable[Measurement]:
    """The peak of the running process, and what of it loading and running added to the process before."""
    opening, resident, libraries = subject.opening, host_memory.peak(), host_memory.program_pages()
    peak = resident - libraries
    values = {
        "import_memory": opening.imported,
        "load_memory": opening.load_peak,
        "weight_memory": opening.loaded - opening.imported,
        "peak_host_memory": peak,
        "activation_memory": peak - opening.loaded,
    }
    ran = {"peak_host_memory": {**detail, "resident": resident}, "activation_memory": detail}
    for name, value in values.items():
        yield Measurement(quantity=name, samples=(float(max(value, 0)),), detail={"source": host_memory.SOURCE, **ran.get(name, {})})
    yield Measurement(quantity="library_memory", samples=(float(libraries),), detail={"source": host_memory.LIBRARIES})


def _device(subject: Subject, detail: dict[str, object], *, counts: bool) -> Measurement | Missing:
    """By the runtime's own counter where it has one, else by NVML's gauge, which a runtime that keeps its pool leaves at the peak."""
    if subject.profile.runtime.device == "cpu":
        return Missing(quantity=DEVICE, why="unsupported", reason=ON_HOST)
    if counts:
        value, facts = subject.session.device_peak()  # type: ignore[attr-defined]
        return Measurement(quantity=DEVICE, samples=(float(value),), detail={**detail, **facts})
    seen = device_memory.of_this_process()
    if isinstance(seen, str):
        return Missing(quantity=DEVICE, why="unsupported", reason=seen)
    return Measurement(quantity=DEVICE, samples=(float(seen),), detail={**detail, "source": device_memory.SOURCE})


PROBE = Memory()
