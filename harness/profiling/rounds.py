"""Baseline, baseline again and candidate timed in turns, so that what disturbs the machine disturbs all three.

In a round each of the three is visited twice, in an order that is its own mirror image, such as A B A' A' B A: a drift that is
linear over the round cancels between any two of them (the ABBA design: Box, Hunter and Hunter, Statistics for Experimenters,
blocking over time). From round to round the order rotates, so that none is always next to the turn.

A visit counts by its fastest call. What disturbs a call only ever adds to it (Chen and Revels, Robust benchmarking in noisy
environments, 2016), and a visit is too short for the fastest to be a rare accident. Measured on 2 cores with a load of 8 to 9, ten
calls of 3 ms a visit: the log ratio of two equal arms has a standard deviation of 7 % by the fastest, of 35 % by the median call.
A change that slows only some calls (a tail) is not seen so; a profile's budget on p95 sees it.

Before a visit the machine rests. A runtime's threads spin for a while after a call, and so take cores from whoever comes next, never from
their own arm: on 2 cores with a load of 5, calls of 7 to 117 ms that followed ONNX Runtime's took 1.30 to 1.54 times what they took after
a session that does not spin, and with a rest 1.02 [0.97, 1.06] times. Among many short calls some come after that (0.8 ms: 1.000).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.core.ports import Clock
from harness.support.sampling import timed

Call = Callable[[], None]
#: Calls per visit are at most this many, so that a round stays short, and at least so many where one takes less than SLOW seconds.
MOST_CALLS, FEW_CALLS, SLOW = 200, 3, 0.1
#: A visit of as many calls goes on for longer than threads spin.
MANY_CALLS = 50
LEAST_ROUNDS = 4


def calls_per_visit(seconds_per_call: float, visit_seconds: float) -> int:
    """How many calls fill a visit; a slow one fills it alone."""
    return max(FEW_CALLS if seconds_per_call < SLOW else 1, min(MOST_CALLS, math.ceil(visit_seconds / max(seconds_per_call, 1e-9))))


def time_rounds(arms: Sequence[Call], clock: Clock, *, rounds: int, calls: int, max_seconds: float, rest: Call | None = None) -> list[tuple[float, ...]]:
    """Seconds of one call of each arm, round by round: the geometric mean of the fastest in each of its two visits.

    Ends after `rounds`, or, when `max_seconds` are over, after LEAST_ROUNDS. `rest`: see `visit`.
    """
    found: list[tuple[float, ...]] = []
    begin = clock()
    while len(found) < rounds:
        if len(found) >= LEAST_ROUNDS and clock() - begin >= max_seconds:
            break
        found.append(_round(arms, clock, start=len(found), calls=calls, rest=rest))
    return found


def order_of(arms: int, start: int) -> list[int]:
    """The order of visits in a round, there and back."""
    there = [(start + step) % arms for step in range(arms)]
    return there + there[::-1]


def _round(arms: Sequence[Call], clock: Clock, *, start: int, calls: int, rest: Call | None) -> tuple[float, ...]:
    visits: dict[int, list[float]] = {index: [] for index in range(len(arms))}
    for index in order_of(len(arms), start):
        visits[index].append(visit(arms[index], clock, calls, rest=rest))
    return tuple(math.sqrt(first * second) for first, second in visits.values())


def visit(call: Call, clock: Clock, calls: int, *, rest: Call | None = None) -> float:
    """The fastest of a few calls; the first after a change of hands meets cold caches and is not counted, where there are more.

    `rest` waits until what another arm left running is quiet; before many calls it is not needed.
    """
    if rest is not None and calls < MANY_CALLS:
        rest()
    if calls > 1:
        call()
    return min(timed(call, clock) for _ in range(calls))
