"""When a batch sweep ends, and the batch that it recommends."""

import pytest

from harness.cli.profile_options import changed, knees
from harness.core.deployment import InputShape
from harness.core.errors import ConfigError, UnknownNameError
from harness.core.measurement import Measurement, Missing
from harness.profiling.sweep import Rate, is_over, knee_between
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
    assert is_over([exact(rate) for rate in rates]) is over


def exact(rate: float | None) -> Rate | None:
    return None if rate is None else Rate(rate, rate, rate)


@pytest.mark.parametrize(
    ("rates", "batch"),
    [({1: 1.0, 2: 1.9, 4: 2.0, 8: 2.01}, 4), ({1: 1.0, 2: 1.96, 4: 2.0}, 2), ({1: 1.0, 2: None}, 1), ({8: 3.0, 1: 1.0}, 8), ({1: 1.0, 2: 0.5}, 1)],
)
def test_the_knee_is_the_smallest_batch_that_no_larger_one_beats_by_five_percent(rates, batch):
    assert knee_between({size: exact(rate) for size, rate in rates.items()}) == (batch, batch)


def test_without_a_rate_there_is_no_knee():
    assert knee_between({1: None}) is None


def test_intervals_that_meet_leave_the_knee_open():
    """2 is surely better than 1. 4 may be 12 % better than 2 or 8 % worse; 8 may be 6 % better than 4."""
    rates = {1: Rate(1.0, 0.9, 1.1), 2: Rate(2.0, 1.9, 2.1), 4: Rate(2.03, 1.95, 2.12), 8: Rate(2.0, 1.9, 2.06)}
    assert knee_between(rates) == (2, 8)


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


def test_an_open_knee_is_told_with_the_intervals():
    wide = [Measurement(quantity="throughput", samples=tuple(1e6 * (1 + step / 20) for step in range(10))), single("throughput", 1.45e6)]
    (said,) = knees([record(batch=batch, measured=[rate]) for batch, rate in enumerate(wide, 1)]).values()
    assert said == "the knee lies between batches 1 and 2: a longer run tells them apart (1: 1.23 [1.05, 1.4] Mpx/s, 2: 1.45 Mpx/s)"
