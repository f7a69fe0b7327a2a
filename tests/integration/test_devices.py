"""One checkpoint through all runtimes of a device, as `harness profile` runs them; the same test for CPU and GPU (`pytest -m gpu`)."""

import pytest

from harness.core.deployment import DeploymentProfile, Runtime, Sampling
from harness.core.registry import BACKENDS, EXPORTERS
from harness.profiling.plan import plan_cells
from harness.stages import export, prepare_data, profile_cells
from tests.small_checkpoint import small_checkpoint

SHORT = Sampling(warmup_runs=2, warmup_seconds=0, warmup_max_seconds=60, min_runs=6, min_seconds=0, max_seconds=2, target_halfwidth=0.5)
PROBES = ("latency", "device_latency", "memory", "accuracy", "parity")
DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Data and a checkpoint with every artifact that this machine can make."""
    folder = tmp_path_factory.mktemp("devices")
    prepare_data("synthetic", root=folder / "data")
    checkpoint = small_checkpoint(folder / "run", size=64)
    for name in EXPORTERS.names():
        if EXPORTERS.load(name).unavailable() is None:
            export(checkpoint, to=name, root=folder / "data")
    return folder


@pytest.fixture(scope="module", params=DEVICES)
def found(request, home, tmp_path_factory):
    """The record of every runtime that runs on the device here, by runtime."""
    device = request.param
    names = [name for name in BACKENDS.names() if name not in ("fake", "torch_compile") and BACKENDS.load(name).unavailable(device) is None]
    profile = DeploymentProfile(schema=1, name="short", purpose="x", runtime=Runtime(device=device), sampling=SHORT, probes=PROBES, max_tiles=4)
    plans, _ = plan_cells(home / "run", profile, None)
    plans = [plan for plan in plans if plan.backend in names]
    done = profile_cells(plans, profile, out=tmp_path_factory.mktemp(device), root=home / "data")
    return {record.cell.backend: record for _, record, _ in done}


def test_every_runtime_of_a_device_computes_there_and_decides_alike(found):
    assert "torch_eager" in found
    for name, record in found.items():
        assert record.measured("latency"), (name, record.detail["failed"])
        assert record.measured("miou"), name
        if name != "torch_eager":
            assert record.measured("argmax_agreement").value > 0.99, name
        has_device_memory = record.measured("peak_device_memory") is not None
        assert has_device_memory == (record.cell.device == "cuda"), name


def test_device_time_is_part_of_the_wall_time_and_on_a_cpu_missing_with_the_reason(found):
    record = found["torch_eager"]
    outcome = record.outcome("device_latency")
    if record.cell.device == "cpu":
        assert outcome.kind == "missing"
        assert "CPU" in outcome.reason
    else:
        assert 0 < outcome.value <= record.measured("end_to_end_latency").value
