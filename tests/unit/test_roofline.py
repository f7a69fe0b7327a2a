"""Peaks of the machine and how near a model comes to them."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from harness.core.measurement import Measurement
from harness.probes.roofline import Roofline
from harness.support import peaks as kernels
from harness.support.clock import ManualClock, wall_clock
from harness.support.onnx_peaks import integer_product
from harness.support.peaks import Bench, Kernel, Peaks, bench_for, best, numpy_product, numpy_triad, peaks_file, read_peaks, write_peaks
from harness.support.torch_peaks import torch_product, torch_triad
from tests.builders import checkpoint, profile, single


def test_peaks_are_work_over_seconds():
    ticks = iter([0.0, 2.0, 10.0, 14.0])
    seen = Bench((numpy_product(10),), numpy_triad(100, 2), lambda: next(ticks)).once()
    assert seen == Peaks(2 * 10**3 / 2.0, 5 * 8 * 100 / 4.0)


def test_a_kernel_is_run_until_the_threads_of_what_ran_before_are_quiet():
    """Two runs that share their cores, 90 ms each, then one that has them alone."""
    ticks = iter([0.0, 0.09, 0.18, 0.21, 1.0, 1.5])
    assert Bench((Kernel(lambda: None, 8.0),), Kernel(lambda: None, 1.0), lambda: next(ticks)).once() == pytest.approx(Peaks(8.0 / 0.03, 1.0 / 0.5))


def test_the_triad_computes_what_stream_says():
    """In one pass PyTorch reads two arrays of float32 and writes one."""
    assert np.array_equal(numpy_triad(1001, 3).run(), np.full(1001, 1.0 + 3.0 * 2.0))
    one = torch_triad(1001, "cpu")
    assert np.array_equal(one.run().numpy(), np.full(1001, 1.0 + 3.0 * 2.0))
    assert one.amount == 3 * 4 * 1001


@pytest.mark.parametrize(("precision", "kind", "value"), [("fp32", "float32", 0.125), ("bf16", "bfloat16", 0.125), ("int8", "int32", 6)])
def test_a_product_is_computed_in_its_precision(precision, kind, value):
    kernel = torch_product(32, device="cpu", precision=precision, threads=1)
    product = kernel.run()
    assert (str(product.dtype), kernel.amount) == (f"torch.{kind}", 2 * 32**3)
    assert (product == 32 * value).all()


def test_integers_are_added_up_in_integers():
    """300 times 3 * -2 overflows a byte."""
    kernel = integer_product(300, 1)
    (product,) = kernel.run()
    assert (str(product.dtype), kernel.amount) == ("int32", 2 * 300**3)
    assert (product == 300 * 3 * -2).all()


def test_a_precision_has_its_own_product_or_that_of_fp32():
    assert [len(bench_for("cpu", name, 1, wall_clock).products) for name in ("fp32", "fp16", "bf16", "int8-static")] == [1, 2, 2, 2]
    ticks = iter([0.0, 2.0, 10.0, 11.0, 20.0, 21.0])
    kernel = Kernel(lambda: None, 8.0)
    assert Bench((kernel, kernel), kernel, lambda: next(ticks)).once() == Peaks(8.0, 8.0)


def test_a_precision_without_a_kernel_is_named():
    assert bench_for("cpu", "fp8", 1, wall_clock) == "a peak is measured in fp32, fp16, bf16, int8, the artifact is fp8"


@pytest.mark.parametrize(("precision", "module"), [("bf16", "torch_peaks"), ("int8-static", "onnx_peaks")])
def test_without_a_package_only_fp32_has_a_peak(monkeypatch, precision, module):
    monkeypatch.setitem(sys.modules, f"harness.support.{module}", None)
    assert f"a peak in {precision.partition('-')[0]}" in bench_for("cpu", precision, 1, wall_clock)
    assert isinstance(bench_for("cpu", "fp32", 1, wall_clock), Bench)


def test_the_best_ever_seen_is_kept_and_garbage_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    path = peaks_file("f0", 2, "cpu", "fp32")
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
    assert read_peaks(peaks_file("f0", 1, "cpu", "fp32")) == Peaks(16e9, 2e9)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(kernels, "SIDE", 16)
    monkeypatch.setattr(kernels, "HALF_SIDE", 16)
    monkeypatch.setattr(kernels, "LENGTH", 64)


def outcomes(tmp_path, monkeypatch, peaks, one):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(Bench, "once", lambda self: peaks)
    return {outcome.quantity: outcome for outcome in Roofline().measure(one)}


def test_fewer_flop_per_byte_than_the_ridge_are_bound_by_memory(tmp_path, monkeypatch):
    """2e9 FLOP over 124 MB are 16 FLOP/B; a ridge of 8 decides nothing, one of 32 does."""
    known = {"forward_flops": single("forward_flops", 1e9)}
    assert outcomes(tmp_path, monkeypatch, Peaks(64e9, 2e9), subject(tmp_path, known))["arithmetic_intensity"].detail["bound"] == "memory"


def test_another_precision_has_a_peak_of_its_own(tmp_path, monkeypatch):
    known = {"forward_flops": single("forward_flops", 1e9)}
    found = outcomes(tmp_path, monkeypatch, Peaks(64e9, 2e9), subject(tmp_path, known, precision="int8-static"))
    assert found["peak_share"].value == pytest.approx(2 * 1e9 / 0.25 / 64e9)
    assert found["achieved_flops"].detail["peak_precision"] == "int8"
    assert read_peaks(peaks_file("f0", 1, "cpu", "int8-dynamic")) == Peaks(64e9, 2e9)
    assert read_peaks(peaks_file("f0", 1, "cpu", "fp32")) is None


def test_without_a_peak_there_is_no_share_and_nothing_is_decided(tmp_path, monkeypatch):
    known = {"forward_flops": single("forward_flops", 1e9)}
    found = outcomes(tmp_path, monkeypatch, Peaks(64e9, 2e9), subject(tmp_path, known, precision="fp8"))
    assert (found["peak_share"].why, found["arithmetic_intensity"].detail["bound"]) == ("unsupported", "not decided")
    assert found["achieved_flops"].value == pytest.approx(2 * 1e9 / 0.25)


def test_a_peak_with_the_threads_of_another_process_is_not_taken_and_not_kept(tmp_path, monkeypatch):
    one = subject(tmp_path, {"forward_flops": single("forward_flops", 1e9)})
    one.profile = profile(sampling={"isolate": False})
    found = outcomes(tmp_path, monkeypatch, Peaks(16e9, 2e9), one)
    assert "isolate" in found["peak_share"].reason
    assert found["achieved_flops"].value == pytest.approx(2 * 1e9 / 0.25)
    assert read_peaks(peaks_file("f0", 1, "cpu", "fp32")) is None


def test_where_peaks_can_not_be_kept_they_are_measured_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    found = outcomes(tmp_path / "file", monkeypatch, Peaks(16e9, 2e9), subject(tmp_path, {"forward_flops": single("forward_flops", 1e9)}))
    assert found["peak_share"].value == pytest.approx(0.5)


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
