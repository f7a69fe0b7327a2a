"""Energy of one call, from a hardware counter read at both ends of a window of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.support.energy import Counter, gpu_counter, host_counter

#: Windows for an interval of the median, and the least seconds of each: counters tick in milliseconds.
WINDOWS, SECONDS = 6, 1.0


def counter_of(device: str) -> Counter | str:
    """The counter of what computes, or why there is none."""
    return gpu_counter() if device == "cuda" else host_counter()


@dataclass(frozen=True)
class Energy:
    counter: Callable[[str], Counter | str] = counter_of
    quantities: tuple[str, ...] = ("energy",)

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        counter = self.counter(subject.profile.runtime.device)
        if isinstance(counter, str):
            yield Missing(quantity="energy", why="unsupported", reason=counter)
            return
        subject.session.bind(subject.example())
        windows = [_window(subject, counter) for _ in range(WINDOWS)]
        if not all(joules > 0 for _, joules, _ in windows):
            yield Missing(quantity="energy", why="failed", reason=f"the counter stood still ({counter.source})")
            return
        watts = [joules / seconds for _, joules, seconds in windows]
        detail = {"source": counter.source, "watts": watts, "calls": sum(calls for calls, _, _ in windows), "covers": "the whole device, idle power included"}
        yield Measurement(quantity="energy", samples=tuple(joules / calls for calls, joules, _ in windows), detail=detail)


def _window(subject: Subject, counter: Counter) -> tuple[int, float, float]:
    """Calls, joules and seconds of one window."""
    calls, begin, before = 0, subject.clock(), counter.read()
    while True:
        subject.session.run()
        subject.session.sync()
        calls += 1
        seconds = subject.clock() - begin
        if seconds >= SECONDS:
            return calls, counter.read() - before, seconds


PROBE = Energy()
