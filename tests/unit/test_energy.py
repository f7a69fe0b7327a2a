"""Energy counters on a folder like the kernel's, and the probe on a counter and a clock that are turned by hand."""

import sys
from types import SimpleNamespace

import pytest

from harness.core.measurement import Measurement, Missing
from harness.probes.energy import WINDOWS, Energy
from harness.support.clock import ManualClock
from harness.support.energy import Counter, gpu_counter, host_counter
from tests.builders import profile


def powercap(root, *packages):
    for number, joules in enumerate(packages):
        folder = root / f"intel-rapl:{number}"
        folder.mkdir()
        (folder / "name").write_text(f"package-{number}\n")
        (folder / "energy_uj").write_text(f"{int(joules * 1e6)}\n")
        (folder / "max_energy_range_uj").write_text("1000000000\n")
        part = root / f"intel-rapl:{number}:0"
        part.mkdir()
        (part / "energy_uj").write_text("77\n")
    return root


def test_packages_are_added_and_their_parts_are_not(tmp_path):
    counter = host_counter(powercap(tmp_path, 1.5, 2.5))
    assert counter.read() == pytest.approx(4.0)
    assert "2 processor package(s)" in counter.source


def test_each_package_wraps_by_itself(tmp_path):
    """Each counter starts again behind 1000 J: 999 to 1 J is 2 J, and 5 to 8 J is 3 J."""
    counter = host_counter(powercap(tmp_path, 999.0, 5.0))
    before = counter.read()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("1000000\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("8000000\n")
    assert counter.read() - before == pytest.approx(5.0)
    assert counter.read() - before == pytest.approx(5.0)


def test_the_counter_of_the_whole_machine_is_no_second_package(tmp_path):
    root = powercap(tmp_path, 10.0, 25.0)
    (root / "intel-rapl:1" / "name").write_text("psys\n")
    counter = host_counter(root)
    assert (counter.read(), counter.source) == (pytest.approx(10.0), "RAPL, 1 processor package(s)")


def test_without_a_counter_the_reason_is_said(tmp_path):
    assert "no RAPL counter" in host_counter(tmp_path)
    assert "no RAPL counter" in host_counter(tmp_path / "none")
    broken = powercap(tmp_path, 1.0)
    (broken / "intel-rapl:0" / "energy_uj").write_text("text")
    assert "can't be read" in host_counter(broken)


def test_the_gpu_is_the_one_that_cuda_takes(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    fake = SimpleNamespace(
        NVMLError=OSError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda index: "H200",
        nvmlDeviceGetTotalEnergyConsumption=lambda index: 1000 * (index + 1),
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    assert gpu_counter().read() == 2.0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "none of 2 GPUs" in gpu_counter()


def outcome(counter):
    clock = ManualClock()
    calls = []

    def run():
        calls.append(clock())
        clock.advance(0.25)

    session = SimpleNamespace(bind=lambda inputs: None, run=run, sync=lambda: None)
    subject = SimpleNamespace(session=session, clock=clock, profile=profile(), example=lambda: [None])
    (found,) = Energy(lambda device: counter(clock)).measure(subject)
    return found, calls


def test_energy_of_a_call_is_that_of_the_window_over_its_calls():
    found, calls = outcome(lambda clock: Counter("test", lambda: 40.0 * clock()))
    assert isinstance(found, Measurement)
    assert len(found.samples) == WINDOWS
    assert found.value == pytest.approx(40.0 * 0.25)
    assert found.detail["watts"] == pytest.approx([40.0] * WINDOWS)
    assert found.detail["calls"] == len(calls) == 4 * WINDOWS


def test_a_counter_that_stands_still_is_a_failure_not_zero_joules():
    found, _ = outcome(lambda clock: Counter("test", lambda: 5.0))
    assert isinstance(found, Missing)
    assert "stood still" in found.reason


def test_no_counter_is_missing_with_the_reason():
    found, _ = outcome(lambda clock: "the machine is virtual")
    assert (found.why, found.reason) == ("unsupported", "the machine is virtual")
