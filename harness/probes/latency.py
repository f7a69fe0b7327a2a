"""Time of one synchronous call, warm, over real tiles; what the first call and loading cost, apart; and calls launched in a row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from harness.core.deployment import Sampling
from harness.core.errors import MeasurementError
from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.support.layout import image_side, logits_from
from harness.support.sampling import sample, warm_up
from harness.support.windows import count_windows, pixels_per_window

#: Calls that are launched before one wait, for the pipelined throughput.
QUEUED = 8
BLOCKING = "on a CPU a call returns when it is done, so calls in a row are no pipeline; see throughput"


class Latency:
    quantities = ("latency", "end_to_end_latency", "throughput", "area_throughput", "pipelined_throughput", "first_call", "load_time")

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        calls, sampling, clock = _Calls(subject), subject.profile.sampling, subject.clock
        detail = {"inputs": subject.example_source, "input_shape": list(calls.shape)}
        yield Measurement(quantity="load_time", samples=(subject.opening.seconds,))
        yield Measurement(quantity="first_call", samples=(subject.first_call_seconds,))
        _require_numbers(subject.session.outputs())
        warmup = warm_up(calls.compute, sampling, clock, before=calls.bind_next)
        samples = sample(calls.compute, sampling, clock, before=calls.bind_next)
        if subject.dataset is not None:
            subject.keep_timed(calls.batch, logits_from(subject.session.outputs(), subject.artifact, calls.side))
        yield Measurement(quantity="latency", samples=tuple(samples), warmup=tuple(warmup), detail=detail)
        yield from _rates(subject, calls, samples)
        yield Measurement(quantity="end_to_end_latency", samples=tuple(sample(calls.whole, _shorter(sampling), clock)), detail=detail)
        yield _pipelined(subject, calls)


class _Calls:
    """What is timed, over the example batches in turn."""

    def __init__(self, subject: Subject) -> None:
        self._session, self._batches = subject.session, subject.examples()
        self.shape = self._batches[0][0].shape
        self.side = image_side(self._batches[0][0], subject.artifact)
        self.counted = _counted(subject, self.shape[0], self.side) if all(self.side) else {}
        self.batch = -1

    @property
    def pixels(self) -> float:
        """Pixels that a call is good for, 0 where its input is no image."""
        return float(self.counted.get("pixels_per_call", 0.0))

    def bind_next(self) -> None:
        self.batch = (self.batch + 1) % len(self._batches)
        self._session.bind(self._batches[self.batch])

    def compute(self) -> None:
        self._session.run()
        self._session.sync()

    def queue(self) -> None:
        for _ in range(QUEUED):
            self._session.run()
        self._session.sync()

    def whole(self) -> None:
        self.bind_next()
        self.compute()
        self._session.outputs()


def _counted(subject: Subject, batch: int, side: tuple[int, int]) -> dict[str, Any]:
    """The pixels of a call and how they are counted: no padding, and what windows share counts once; random inputs are taken as they are."""
    given = batch * math.prod(side)
    if not subject.tile_sides:
        return {"pixels_per_call": given}
    windows = {f"{height}x{width}": count_windows(height, width, side[1]) for height, width in subject.tile_sides}
    useful = batch * pixels_per_window(subject.tile_sides, side[1])
    return {"pixels_per_call": useful, "pixels_of_input": given, "windows_by_tile": windows}


def _require_numbers(outputs: Sequence[np.ndarray]) -> None:
    """Raises MeasurementError for NaN: a model that computes nothing is not timed (fast but wrong must not pass)."""
    broken = sum(int(np.isnan(output).sum()) for output in outputs if np.issubdtype(output.dtype, np.floating))
    if broken:
        raise MeasurementError(f"{broken} of {sum(output.size for output in outputs)} output values are NaN, so its time says nothing", "look at the weights")


def _rates(subject: Subject, calls: _Calls, seconds: Sequence[float]) -> Iterable[Measurement | Missing]:
    """Pixels of tiles and, where the data set says how large one is, square kilometers per second."""
    pixels = calls.pixels
    if not pixels:
        yield Missing(quantity="throughput", why="unsupported", reason="the input is no image")
        yield Missing(quantity="area_throughput", why="unsupported", reason="the input is no image")
        return
    yield Measurement(quantity="throughput", samples=tuple(pixels / value for value in seconds), detail=calls.counted)
    gsd = subject.dataset.gsd_m if subject.dataset is not None else None
    if gsd is None:
        reason = f"{subject.dataset.name} does not say how many meters a pixel covers" if subject.dataset else "random inputs have no ground sampling distance"
        yield Missing(quantity="area_throughput", why="unsupported", reason=reason)
        return
    area = pixels * gsd**2 / 1e6
    yield Measurement(quantity="area_throughput", samples=tuple(area / value for value in seconds), detail={"gsd_m": gsd, "km2_per_call": area})


def _shorter(sampling: Sampling) -> Sampling:
    """For what stands beside the latency: a third of its time."""
    return sampling.model_copy(update={"min_seconds": sampling.min_seconds / 3, "max_seconds": sampling.max_seconds / 3})


def _pipelined(subject: Subject, calls: _Calls) -> Measurement | Missing:
    if not calls.pixels:
        return Missing(quantity="pipelined_throughput", why="unsupported", reason="the input is no image")
    if subject.profile.runtime.device == "cpu":
        return Missing(quantity="pipelined_throughput", why="unsupported", reason=BLOCKING)
    short = _shorter(subject.profile.sampling).model_copy(update={"min_runs": 6})
    seconds = sample(calls.queue, short, subject.clock, before=calls.bind_next)
    rates = tuple(QUEUED * calls.pixels / value for value in seconds)
    return Measurement(quantity="pipelined_throughput", samples=rates, detail={"calls_per_wait": QUEUED})


PROBE = Latency()
