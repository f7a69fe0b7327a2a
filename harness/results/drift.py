"""Whether a cell's latency moved between its runs by more than each run's interval says.

An interval covers the spread within one run. A machine that is shared, or that throttles, can be slower for minutes, which one run can't
see and two can.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.record import Advice, ProfileRecord

#: The runs that are looked at: these many last ones, so that a long history costs no more than a short one.
RUNS = 6


def drift_of(runs: Sequence[ProfileRecord]) -> Advice | None:
    """What the runs of one row, oldest first, say of the newest; None where their intervals overlap with its own, or there is one run.

    Only runs of the newest one's weights, versions and settings count.
    """
    newest = runs[-1]
    same = [run for run in runs[-RUNS:] if run.cell == newest.cell and run.environment.fingerprint == newest.environment.fingerprint]
    if len(same) < 2 or (own := newest.measured("latency")) is None or (here := own.interval()) is None:
        return None
    seen = [found for run in same if (found := run.measured("latency")) is not None]
    if not any(there.low > here.high or there.high < here.low for one in seen if (there := one.interval()) is not None):
        return None
    low, high = (1e3 * bound(one.value for one in seen) for bound in (min, max))
    return Advice(
        kind="moved between runs",
        message=f"the medians of its last {len(seen)} runs lie between {low:.4g} and {high:.4g} ms, further apart than their intervals",
        advice="compare in turns: harness check",
    )
