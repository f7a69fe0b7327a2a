"""The parent's side of an arm: a process per candidate that is asked for one visit at a time and otherwise sleeps."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from typing import Any

from harness.core.errors import MeasurementError
from harness.core.files import write_value
from harness.profiling.isolate import TIMED_OUT, end, environment_of, offer_to_the_kernel, reason_of
from harness.profiling.job import Job
from harness.profiling.rounds import calls_per_visit
from harness.support.clock import wall_clock
from harness.tuning.arm import MODULE

#: A visit lasts about this long, so that a slow and a fast candidate meet the machine's disturbances alike.
VISIT_SECONDS = 0.05


class Worker:
    """A candidate's process. `memory`: what it measured of itself before it was timed.

    Raises MeasurementError with why the process ended, or that it gave no answer within the profile's time-out.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._unread = job, b""
        self._errors = job.work / "stderr.txt"
        file = write_value(job.work / "job.json", job)
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment_of(job),
                start_new_session=True,
            )
        offer_to_the_kernel(self._process.pid)
        try:
            ready = self._answer()
        except BaseException:
            self.close()
            raise
        self.memory: dict[str, float] = ready["memory"]
        self._calls = calls_per_visit(ready["seconds"], VISIT_SECONDS)

    def visit(self) -> float:
        """Seconds of the fastest call of one visit. A process that can't give it is ended, so that it disturbs no other."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{self._calls}\n".encode())
            self._process.stdin.flush()
            return float(self._answer()["fastest"])
        except BrokenPipeError:
            raise MeasurementError(self._why_ended()) from None
        except MeasurementError:
            self.close()
            raise

    def close(self) -> None:
        """End the process; its last answers are not waited for."""
        end(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _answer(self) -> dict[str, Any]:
        """The next line of JSON."""
        assert self._process.stdout is not None
        until = wall_clock() + self._job.profile.sampling.timeout_seconds
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - wall_clock()))
            if not ready:
                raise MeasurementError(f"{TIMED_OUT} {self._job.profile.sampling.timeout_seconds:g} s")
            more = self._process.stdout.read1(65536)  # type: ignore[attr-defined]
            if not more:
                raise MeasurementError(self._why_ended())
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise MeasurementError(answer["failed"])
        return answer

    def _why_ended(self) -> str:
        return reason_of(self._process.wait(), self._errors)
