"""What else a machine does, on trees like the kernel's, and the warnings that a record gets of it."""

import os
from pathlib import Path

import pytest

from harness.profiling.disturbance import Reading, advice_on, load_between, reading
from harness.support.cgroup import allowed_cores, allowed_memory, periods


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def test_the_limits_of_version_2_are_those_of_the_own_group_and_of_the_ones_above(tmp_path):
    root = written(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kube/pod",
            "sys/fs/cgroup/kube/pod/cpu.max": "max 100000",
            "sys/fs/cgroup/kube/cpu.max": "250000 100000",
            "sys/fs/cgroup/kube/pod/memory.max": "1000",
            "sys/fs/cgroup/kube/memory.max": "max",
            "sys/fs/cgroup/kube/cpu.stat": "usage_usec 5\nnr_periods 10\nnr_throttled 4",
        },
    )
    assert (allowed_cores(root), allowed_memory(root), periods(root)) == (2.5, 1000, (10, 4))


def test_the_limits_of_version_1_are_seen(tmp_path):
    root = written(
        tmp_path,
        {
            "proc/self/cgroup": "9:name=systemd:/x\n4:memory:/docker/a\n2:cpu,cpuacct:/docker/a\n0::/",
            "sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us": "300000",
            "sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.stat": "nr_periods 7\nnr_throttled 2\nthrottled_time 9",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes": "2000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        },
    )
    assert (allowed_cores(root), allowed_memory(root), periods(root)) == (3.0, 2000, (7, 2))


@pytest.mark.parametrize("path", ["/", "/docker/not-mounted-here", "/../../outside"])
def test_in_a_container_the_mount_may_be_the_group(tmp_path, path):
    root = written(tmp_path, {"proc/self/cgroup": f"0::{path}", "sys/fs/cgroup/cpu.max": "150000 100000", "cpu.max": "1 1"})
    assert allowed_cores(root) == 1.5


def test_without_control_groups_nothing_is_limited(tmp_path):
    assert (allowed_cores(tmp_path), allowed_memory(tmp_path), periods(tmp_path)) == (None, None, None)


def test_what_others_took_is_what_is_busy_and_not_ours():
    ticks = os.sysconf("SC_CLK_TCK")
    before = Reading(load=1.5, ticks=(0, 0, 0), own=10.0, periods=(100, 1), gpu_processes=0)
    after = Reading(load=9.0, ticks=(200 * ticks, 100 * ticks, 4 * ticks), own=40.0, periods=(300, 41), gpu_processes=3)
    assert load_between(before, after) == pytest.approx(
        {"load_1min": 1.5, "steal_percent": 2.0, "other_percent": 33.0, "throttled_percent": 20.0, "gpu_processes": 0.0}
    )


def test_readings_come_from_the_kernels_files(tmp_path):
    root = written(
        tmp_path,
        {
            "proc/stat": "cpu  10 1 2 30 4 0 5 6 7 8\ncpu0 1 1 1 1",
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/cpu.stat": "nr_periods 3\nnr_throttled 1",
        },
    )
    found = reading(root)
    assert (found.ticks, found.periods) == ((58, 34, 6), (3, 1))
    nothing = reading(tmp_path / "empty")
    assert (nothing.ticks, nothing.periods) == (None, None)
    assert load_between(nothing, found) == {"load_1min": nothing.load}


def kinds(**load: float) -> list[str]:
    return [advice.kind for advice in advice_on(load, cores=4)]


def test_each_disturbance_has_its_warning():
    assert kinds(load_1min=9.0, other_percent=24.0, steal_percent=0.9, throttled_percent=0.5, gpu_processes=0.0) == []
    assert kinds(load_1min=0.0, other_percent=25.0, steal_percent=1.0, throttled_percent=1.0, gpu_processes=1.0) == ["busy", "steal", "throttled", "gpu shared"]
    assert kinds(load_1min=2.1) == ["busy"]
    assert kinds(load_1min=2.0) == []
