"""When a batch sweep has seen enough, and the batch that is worth taking."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.core.record import ProfileRecord

#: A larger batch is worth it where it raises the throughput by this share.
WORTH = 0.05


class Rate(NamedTuple):
    """Pixels per second with the ends of the interval, which are the value itself where there is none."""

    value: float
    low: float
    high: float


def rate_of(record: ProfileRecord) -> Rate | None:
    """The throughput of a record, None where it has none (out of memory, for example)."""
    measured = record.measured("throughput")
    if measured is None:
        return None
    interval = measured.interval()
    return Rate(measured.value, interval.low, interval.high) if interval else Rate(*[measured.value] * 3)


def is_over(rates: Sequence[Rate | None]) -> bool:
    """No batch more: the last one failed, or the last two each gained less than 5 %."""
    if rates and rates[-1] is None:
        return True
    gains = [after.value / before.value - 1 for before, after in itertools.pairwise(rates) if before and after]
    return len(gains) >= 2 and all(gain < WORTH for gain in gains[-2:])


def knee_between(rates: Mapping[int, Rate | None]) -> tuple[int, int] | None:
    """The knee is the smallest batch that no larger one beats by 5 %: the smallest and the largest batch that it can be, given the intervals.

    None where nothing was measured.
    """
    known = sorted((batch, rate) for batch, rate in rates.items() if rate is not None)
    if not known:
        return None
    first = next(batch for batch, rate in known if all(other.low < rate.high * (1 + WORTH) for size, other in known if size > batch))
    last = next(batch for batch, rate in known if all(other.high < rate.low * (1 + WORTH) for size, other in known if size > batch))
    return first, last
