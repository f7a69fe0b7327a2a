"""The only clocks of the project. Everything that is timed takes a clock, so tests inject one that they turn by hand."""

from __future__ import annotations

import datetime as dt
import time

from harness.core.ports import Clock

wall_clock: Clock = time.perf_counter
cpu_clock: Clock = time.process_time
#: Seconds for which a runtime's threads wait for the next call without sleeping. ONNX Runtime's turn 2^20 times, 36 to 53 ms as measured.
SPINNING = 0.1


def settle() -> None:
    """Wait until threads of what ran before no longer spin."""
    time.sleep(SPINNING)


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def utc_now() -> str:
    """The time in UTC as ISO 8601, to the second."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
