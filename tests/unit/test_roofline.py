"""Peaks of the machine and how near a model comes to them."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.core.measurement import Measurement
from harness.probes.roofline import Roofline
from harness.support.clock import ManualClock, wall_clock
from harness.support.peaks import PASSES, Bench, Peaks, best, peaks_file, read_peaks, write_peaks
from tests.builders import checkpoint, profile, single


def test_peaks_are_work_over_seconds():
    ticks = iter([0.0, 2.0, 10.0, 14.0])
    seen = Bench(2, lambda: next(ticks), side=10, length=100).once()
    assert seen == Peaks(2 * 10**3 / 2.0, PASSES * 8 * 100 / 4.0)


def test_the_triad_computes_what_stream_says():
    bench = Bench(3, wall_clock, side=4, length=1001)
    bench.once()
    assert np.array_equal(bench._a, np.full(1001, 1.0 + 3.0 * 2.0))


def test_the_best_ever_seen_is_kept_and_garbage_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    path = peaks_file("f0", 2)
    assert read_peaks(path) is None
    write_peaks(path, best(Peaks(5.0, 1.0), Peaks(4.0, 2.0)))
    assert read_peaks(path) == Peaks(5.0, 2.0)
    for text in ("", "{}", '{"flops": 1.0, "bandwidth": NaN}', '{"flops": "9", "bandwidth": 1.0}'):
        path.write_text(text)
        assert read_peaks(path) is None, text


def subject(tmp_path, known, device="cpu", precision="fp32"):
    """A model of 1e9 FLOP that takes a quarter of a second; 31 million fp32 weights."""
    clock = ManualClock()
    session = SimpleNamespace(
        bind=lambda inputs: None, run=lambda: clock.advance(0.25), sync=lambda: None, outputs=lambda: [np.zeros((2, 2, 8, 8), np.float32)]
    )
    artifact = SimpleNamespace(checkpoint=checkpoint(), precision=precision)
    batch = [np.zeros((2, 3, 8, 8), np.float32)]
    chosen = profile(runtime={"device": device}) if device == "cuda" else profile()
    return SimpleNamespace(session=session, clock=clock, profile=chosen, example=lambda: batch, known=known, threads=1, fingerprint="f0", artifact=artifact)


def test_achieved_and_intensity_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(Bench, "once", lambda self: Peaks(16e9, 2e9))
    found = {outcome.quantity: outcome for outcome in Roofline().measure(subject(tmp_path, {"forward_flops": single("forward_flops", 1e9)}))}
    assert all(isinstance(outcome, Measurement) for outcome in found.values())
    assert found["achieved_flops"].value == pytest.approx(2 * 1e9 / 0.25)
    assert found["peak_share"].value == pytest.approx(0.5)
    moved = 31_000_000 * 4 + 2 * 3 * 8 * 8 * 4 + 2 * 2 * 8 * 8 * 4
    assert found["arithmetic_intensity"].value == pytest.approx(2e9 / moved)
    assert found["arithmetic_intensity"].detail["bound"] == "not decided"
    assert read_peaks(peaks_file("f0", 1)) == Peaks(16e9, 2e9)


def outcomes(tmp_path, monkeypatch, peaks, one):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(Bench, "once", lambda self: peaks)
    return {outcome.quantity: outcome for outcome in Roofline().measure(one)}


def test_fewer_flop_per_byte_than_the_ridge_are_bound_by_memory(tmp_path, monkeypatch):
    """2e9 FLOP over 124 MB are 16 FLOP/B; a ridge of 8 decides nothing, one of 32 does."""
    known = {"forward_flops": single("forward_flops", 1e9)}
    assert outcomes(tmp_path, monkeypatch, Peaks(64e9, 2e9), subject(tmp_path, known))["arithmetic_intensity"].detail["bound"] == "memory"


def test_another_precision_has_no_share_of_the_peak_in_fp32(tmp_path, monkeypatch):
    one = subject(tmp_path, {"forward_flops": single("forward_flops", 1e9)}, precision="int8-static")
    found = outcomes(tmp_path, monkeypatch, Peaks(64e9, 2e9), one)
    assert (found["peak_share"].why, found["peak_share"].reason) == ("unsupported", "the peak is measured in fp32, the artifact computes in int8-static")
    assert found["achieved_flops"].value == pytest.approx(2 * 1e9 / 0.25)
    assert found["arithmetic_intensity"].detail["bound"] == "not decided"


def test_the_call_after_the_triad_is_not_timed(tmp_path, monkeypatch):
    """A call that meets cold caches takes ten times as long."""
    one, cold = subject(tmp_path, {"forward_flops": single("forward_flops", 1e9)}), []
    one.session.run = lambda: one.clock.advance(2.5 if cold and cold.pop() else 0.25)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(Bench, "once", lambda self: cold.append(True) or Peaks(16e9, 2e9))
    rates = next(outcome for outcome in Roofline().measure(one) if outcome.quantity == "achieved_flops")
    assert set(rates.samples) == {2 * 1e9 / 0.25}


def test_without_flop_there_is_no_roofline(tmp_path):
    for outcome in Roofline().measure(subject(tmp_path, {})):
        assert "FLOP of this artifact are not known" in outcome.reason
