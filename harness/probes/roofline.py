"""How near the model comes to what this machine can do: measured peaks, taken in turns with the model's own calls.

Source: Williams, Waterman and Patterson 2009 (Roofline), with measured peaks instead of a data sheet's. Fewer FLOP per byte than the
ridge (peak FLOP/s over peak B/s): memory is the limit even of a perfect kernel. The bytes are the least that a call can move, without
activations, so its true intensity is lower and more than the ridge decides nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable

import numpy as np

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.support.peaks import Peaks, bench_for, best, peaks_file, read_peaks, write_peaks
from harness.support.sampling import timed

QUANTITIES = ("achieved_flops", "peak_share", "arithmetic_intensity")
SHARED = "a peak with the cell's threads needs a process of the cell's own: sampling: {isolate: true}"
ROUNDS = 10
BYTES = {"fp64": 8, "fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


class Roofline:
    quantities = QUANTITIES

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        reason = self._unsupported(subject)
        if reason:
            yield from (Missing(quantity=name, why="unsupported", reason=reason) for name in QUANTITIES)
            return
        batch, device, precision = subject.example(), subject.profile.runtime.device, subject.artifact.precision
        work = subject.known["forward_flops"].value * batch[0].shape[0]
        moved = self._least_bytes(subject, batch)
        # numpy takes its threads from variables that are read when a process starts; a peak of others would be kept for every later run.
        bench = bench_for(device, precision, subject.threads, subject.clock) if subject.profile.sampling.isolate else SHARED
        if isinstance(bench, str):
            yield Missing(quantity="peak_share", why="unsupported", reason=bench)
            yield Measurement(quantity="achieved_flops", samples=tuple(_rates(subject, work)), detail={"threads": subject.threads, "rounds": ROUNDS})
            yield Measurement(quantity="arithmetic_intensity", samples=(work / moved,), detail={"bytes": moved, "bound": "not decided"})
            return
        kept = peaks_file(subject.fingerprint, subject.threads, device, precision)
        seen: list[Peaks] = []
        rates = _rates(subject, work, before=lambda: seen.append(bench.once()))
        peak = functools.reduce(best, seen, read_peaks(kept))
        assert peak is not None  # there is at least one round
        write_peaks(kept, peak)
        detail = {
            "peak_flops": peak.flops,
            "peak_bandwidth": peak.bandwidth,
            "peak_precision": precision.partition("-")[0],
            "ridge": peak.flops / peak.bandwidth,
            "threads": subject.threads,
            "rounds": ROUNDS,
        }
        yield Measurement(quantity="achieved_flops", samples=tuple(rates), detail=detail)
        yield Measurement(quantity="peak_share", samples=tuple(rate / peak.flops for rate in rates), detail=detail)
        bound = "memory" if work / moved < detail["ridge"] else "not decided"
        yield Measurement(quantity="arithmetic_intensity", samples=(work / moved,), detail={"bytes": moved, "bound": bound, **detail})

    def _unsupported(self, subject: Subject) -> str:
        if "forward_flops" not in subject.known:
            return "the FLOP of this artifact are not known: ask for the probe flops, or see why it is Missing"
        return ""

    def _least_bytes(self, subject: Subject, batch: list[np.ndarray]) -> float:
        """Weights in the artifact's precision, input and output, each once."""
        subject.session.bind(batch)
        _call(subject)
        weights = subject.artifact.checkpoint.parameters * BYTES.get(subject.artifact.precision.partition("-")[0], 4)
        outputs = sum(4 * math.prod(output.shape) for output in subject.session.outputs())
        return float(weights + batch[0].nbytes + outputs)


def _rates(subject: Subject, work: float, before: Callable[[], None] = lambda: None) -> list[float]:
    """FLOP/s of warm calls; a call after `before` is not timed, since the triad has emptied the caches, which calls in a row find filled."""
    rates = []
    for _ in range(ROUNDS):
        before()
        _call(subject)
        rates.append(work / timed(lambda: _call(subject), subject.clock))
    return rates


def _call(subject: Subject) -> None:
    subject.session.run()
    subject.session.sync()


PROBE = Roofline()
