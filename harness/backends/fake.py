"""A runtime that computes nothing: scripted durations for tests of statistics, and scripted failures for tests of isolation."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.artifact import Artifact
from harness.core.errors import MeasurementError
from harness.core.ports import Session
from harness.support.clock import ManualClock

#: Before the name of a failure: it happens when the runtime is closed.
AT_END = "at end: "


class FakeSession:
    """Each `run` turns the clock by the next duration; the logits are the input's first band, shifted per class."""

    def __init__(self, classes: int, clock: ManualClock, durations: Sequence[float], fail: str) -> None:
        self._classes, self._clock, self._fail = classes, clock, fail
        self._durations = itertools.cycle(durations)
        self._inputs: list[np.ndarray] = []
        self.calls = 0

    def bind(self, inputs: Sequence[np.ndarray]) -> None:
        self._inputs = list(inputs)

    def run(self) -> None:
        self.calls += 1
        self._clock.advance(next(self._durations))
        if self._fail:
            _fail(self._fail)

    def sync(self) -> None:
        return

    def outputs(self) -> list[np.ndarray]:
        shifts = np.arange(self._classes, dtype=np.float32).reshape(1, -1, 1, 1)
        return [(self._inputs[0][:, :1] - shifts).astype(np.float32)]

    def facts(self) -> Mapping[str, Any]:
        return {"fake": True}


def _fail(how: str) -> None:
    """Fail as a runtime would: by an exception, by a signal, or never coming back."""
    if how == "error":
        raise MeasurementError("the fake runtime was told to fail")
    if how == "memory":
        raise MemoryError
    if how == "hang":
        signal.pause()
    os.kill(os.getpid(), getattr(signal, how))


class Fake:
    formats = ("checkpoint", "onnx")
    devices = ("cpu",)
    is_default = False

    def unavailable(self, device: str = "cpu") -> str | None:
        return None if device == "cpu" else "the fake runtime has only a cpu"

    def lacks(self, precision: str, device: str = "cpu") -> str | None:
        return self.unavailable(device)

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(options)

    @contextlib.contextmanager
    def open(self, folder: Path, artifact: Artifact, *, device: str, threads: int, options: Mapping[str, Any]) -> Iterator[Session]:
        clock, fail = options.get("clock") or ManualClock(), options.get("fail", "")
        is_at_end = fail.startswith(AT_END)
        yield FakeSession(artifact.checkpoint.num_classes, clock, options.get("durations") or (0.001,), "" if is_at_end else fail)
        if is_at_end:
            _fail(fail.removeprefix(AT_END))


BACKEND = Fake()
