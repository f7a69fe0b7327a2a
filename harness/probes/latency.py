"""Time of one synchronous call, warm, over real tiles; and what the first call and loading cost, apart."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.support.sampling import sample, timed, warm_up


class Latency:
    quantities = ("latency", "end_to_end_latency", "throughput", "first_call", "load_time")

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        calls, sampling, clock = _Calls(subject), subject.profile.sampling, subject.clock
        detail = {"inputs": subject.example_source, "input_shape": list(calls.shape)}
        yield Measurement(quantity="load_time", samples=(subject.load_seconds,))
        calls.bind_next()
        yield Measurement(quantity="first_call", samples=(timed(calls.compute, clock),))
        warmup = warm_up(calls.compute, sampling, clock, before=calls.bind_next)
        samples = sample(calls.compute, sampling, clock, before=calls.bind_next)
        subject.timed = (calls.batch, subject.session.outputs()[0])
        yield Measurement(quantity="latency", samples=tuple(samples), warmup=tuple(warmup), detail=detail)
        yield Measurement(quantity="throughput", samples=tuple(calls.pixels / seconds for seconds in samples), detail={"pixels_per_call": calls.pixels})
        yield Measurement(quantity="end_to_end_latency", samples=tuple(sample(calls.whole, sampling, clock)), detail=detail)


class _Calls:
    """What is timed, over the example batches in turn."""

    def __init__(self, subject: Subject) -> None:
        self._session, self._batches = subject.session, subject.examples()
        self.shape = self._batches[0][0].shape
        self.pixels = int(self.shape[0] * self.shape[-2] * self.shape[-1])
        self.batch = -1

    def bind_next(self) -> None:
        self.batch = (self.batch + 1) % len(self._batches)
        self._session.bind(self._batches[self.batch])

    def compute(self) -> None:
        self._session.run()
        self._session.sync()

    def whole(self) -> None:
        self.bind_next()
        self.compute()
        self._session.outputs()


PROBE = Latency()
