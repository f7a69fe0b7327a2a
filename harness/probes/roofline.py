"""How near the model comes to what this machine can do: measured peaks, taken in turns with the model's own calls.

Source: Williams, Waterman and Patterson 2009 (Roofline), with measured peaks instead of a data sheet's. Fewer FLOP per byte than the
ridge (peak FLOP/s over peak B/s): memory is the limit even of a perfect kernel. The bytes are the least that a call can move, without
activations, so its true intensity is lower and more than the ridge decides nothing. The peak is that of fp32 products, so an artifact of
another precision has no share of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.support.peaks import Bench, best, peaks_file, read_peaks, write_peaks
from harness.support.sampling import timed

QUANTITIES = ("achieved_flops", "peak_share", "arithmetic_intensity")
ROUNDS = 10
BYTES = {"fp64": 8, "fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


class Roofline:
    quantities = QUANTITIES

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        reason = self._unsupported(subject)
        if reason:
            yield from (Missing(quantity=name, why="unsupported", reason=reason) for name in QUANTITIES)
            return
        batch = subject.example()
        work = subject.known["forward_flops"].value * batch[0].shape[0]
        threads = subject.threads
        kept = peaks_file(subject.fingerprint, threads)
        peak, bench = read_peaks(kept), Bench(threads, subject.clock)
        rates: list[float] = []

        def call() -> None:
            subject.session.run()
            subject.session.sync()

        subject.session.bind(batch)
        call()  # warm
        for _ in range(ROUNDS):
            peak = best(peak, bench.once())
            call()  # the triad has emptied the caches, which the model finds filled when it runs call after call
            rates.append(work / timed(call, subject.clock))
        assert peak is not None  # there is at least one round
        write_peaks(kept, peak)
        detail = {"peak_flops": peak.flops, "peak_bandwidth": peak.bandwidth, "ridge": peak.flops / peak.bandwidth, "threads": threads, "rounds": ROUNDS}
        yield Measurement(quantity="achieved_flops", samples=tuple(rates), detail=detail)
        precision = subject.artifact.precision
        if precision == "fp32":
            yield Measurement(quantity="peak_share", samples=tuple(rate / peak.flops for rate in rates), detail=detail)
        else:
            yield Missing(quantity="peak_share", why="unsupported", reason=f"the peak is measured in fp32, the artifact computes in {precision}")
        moved = self._least_bytes(subject, batch[0].nbytes)
        bound = "memory" if precision == "fp32" and work / moved < detail["ridge"] else "not decided"
        yield Measurement(quantity="arithmetic_intensity", samples=(work / moved,), detail={"bytes": moved, "bound": bound, **detail})

    def _unsupported(self, subject: Subject) -> str:
        if subject.profile.runtime.device != "cpu":
            return "peaks are measured on the CPU only"
        if "forward_flops" not in subject.known:
            return "the FLOP of this artifact are not known: ask for the probe flops, or see why it is Missing"
        return ""

    def _least_bytes(self, subject: Subject, inputs: int) -> float:
        """Weights in the artifact's precision, input and output, each once."""
        weights = subject.artifact.checkpoint.parameters * BYTES.get(subject.artifact.precision.partition("-")[0], 4)
        subject.session.sync()
        outputs = sum(4 * math.prod(output.shape) for output in subject.session.outputs())
        return float(weights + inputs + outputs)


PROBE = Roofline()
