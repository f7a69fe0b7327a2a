"""When a batch sweep ends, and the batch that it recommends."""

import pytest

from harness.cli.profile_options import changed, knees
from harness.core.deployment import InputShape
from harness.core.errors import ConfigError, UnknownNameError
from harness.core.measurement import Missing
from harness.profiling.sweep import is_over, knee
from tests.builders import profile, record, single


@pytest.mark.parametrize(
    ("rates", "over"),
    [
        ([1.0], False),
        ([1.0, 2.0, 2.05], False),
        ([1.0, 2.0, 2.05, 2.06], True),
        ([1.0, 1.01, 2.0, 2.01], False),
        ([1.0, 0.9, 0.8], True),
        ([1.0, None], True),
        ([None], True),
    ],
)
def test_a_sweep_ends_when_memory_or_growth_ends(rates, over):
    assert is_over(rates) is over


def test_the_knee_is_the_smallest_batch_that_no_larger_one_beats_by_five_percent():
    assert knee({1: 1.0, 2: 1.9, 4: 2.0, 8: 2.01}) == 4
    assert knee({1: 1.0, 2: 1.96, 4: 2.0}) == 2
    assert knee({1: 1.0, 2: None}) == 1
    assert knee({8: 3.0, 1: 1.0}) == 8
    assert knee({1: None}) is None


def test_batches_grow_and_leave_the_hash_of_profiles_without_them_alone():
    assert profile().sha256 == changed(profile(), batches=None, probes=None).sha256
    swept = changed(profile(), batches="1,4", probes="latency,size")
    assert swept.input.batches == (1, 4)
    assert swept.probes == ("latency", "size")
    assert swept.sha256 != profile().sha256
    with pytest.raises(ValueError, match="batches grow"):
        InputShape(batches=(2, 1))


@pytest.mark.parametrize("text", ["2,1", "1,1", "0,1", "1,x", "1,,2", "-1"])
def test_batches_that_make_no_sweep_are_refused(text):
    with pytest.raises(ConfigError, match="batches are whole numbers that grow"):
        changed(profile(), batches=text, probes=None)


def test_an_unknown_probe_is_refused():
    with pytest.raises(UnknownNameError, match="latency"):
        changed(profile(), batches=None, probes="latencyy")


def test_a_sweep_is_told_in_a_sentence():
    failed = Missing(quantity="throughput", why="failed", reason="out of memory")
    records = [record(batch=1, measured=[single("throughput", 1e6)]), record(batch=2, measured=[failed])]
    (said,) = knees(records).values()
    assert said == "batch 1 is the knee: no larger one gains 5% (1: 1 Mpx/s, 2: failed)"
