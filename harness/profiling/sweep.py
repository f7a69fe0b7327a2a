"""When a batch sweep has seen enough, and the batch that is worth taking."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from harness.core.record import ProfileRecord

#: A larger batch is worth it where it raises the throughput by this share.
WORTH = 0.05


def rate_of(record: ProfileRecord) -> float | None:
    """Pixels per second of a record, None where it has none (out of memory, for example)."""
    measured = record.measured("throughput")
    return measured.value if measured else None


def is_over(rates: Sequence[float | None]) -> bool:
    """No batch more: the last one failed, or the last two each gained less than 5 %."""
    if rates and rates[-1] is None:
        return True
    gains = [after / before - 1 for before, after in itertools.pairwise(rates) if before and after]
    return len(gains) >= 2 and all(gain < WORTH for gain in gains[-2:])


def knee(rates: Mapping[int, float | None]) -> int | None:
    """The smallest batch that no larger one beats by 5 %; None where nothing was measured."""
    known = {batch: rate for batch, rate in rates.items() if rate}
    return next((batch for batch, rate in sorted(known.items()) if all(other < rate * (1 + WORTH) for size, other in known.items() if size > batch)), None)
