"""A race: arms are visited in turns, and those that are surely slower than the fastest drop out.

Racing: Maron and Moore, Hoeffding races, NIPS 1993; with blocks in which every arm that is left is tried once, as in Birattari,
Stuetzle, Paquete and Varrentrapp, A racing algorithm for configuring metaheuristics, GECCO 2002 (F-Race). A block is a round there
and back over the arms (`harness.profiling.rounds`), so a drift that is linear over the round cancels. The test is not Friedman's but
the interval of the median log ratio over shared rounds (`harness.results.regression`): distribution-free order statistics.

An arm is looked at after each of LOOKS rounds. The looks share the 5 % of error (Bonferroni), so looking early costs no certainty. It
drops out when its whole interval is slower than the fastest by more than MARGIN, a fixed allowance for what another fresh process may shift;
arms nearer than that are not ranked apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.core.errors import MeasurementError
from harness.core.measurement import percentile, percentile_interval
from harness.core.ports import Clock
from harness.profiling.rounds import order_of

#: Rounds after which the arms are looked at. The first is the fewest for an interval at CONFIDENCE, and one more.
LOOKS = (8, 16, 32)
CONFIDENCE = 1 - 0.05 / len(LOOKS)
MARGIN = 0.02

#: Seconds of one visit; raises MeasurementError when the arm can't go on.
Visit = Callable[[], float]
#: Cost of one tile by arm, in seconds: one entry per arm that ran in the round.
Round = Mapping[str, float]


@dataclass(frozen=True)
class Ratio:
    """Median over shared rounds of cost / other's cost, with its interval at CONFIDENCE; `rounds` of them."""

    middle: float
    low: float
    high: float
    rounds: int


@dataclass
class Race:
    """What a race gave: its rounds, who could not go on and why, and who dropped out against whom."""

    rounds: list[Round] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)


def race(arms: Mapping[str, Visit], tiles: Mapping[str, int], *, start: str, clock: Clock, max_seconds: float, looks: Sequence[int] = LOOKS) -> Race:
    """Visit the arms in turns. `tiles` is how many each one's call takes; `start` is the arm that all are compared with and never drops out.

    Ends after the last look, when one is left that is surely faster or slower than `start`, or at a look after `max_seconds`.
    """
    found, alive, begin = Race(), list(arms), clock()
    for number in range(looks[-1]):
        found.rounds.append(_round(arms, alive, number, tiles, found))
        if start not in alive:
            raise MeasurementError(f"{start}, which all are compared with, failed: {found.failed[start]}", "harness profile shows more")
        if number + 1 not in looks:
            continue
        best = fastest(found.rounds, alive, start)
        found.dropped |= {name: best for name in alive if name != start and is_slower(ratio(found.rounds, name, best))}
        alive[:] = [name for name in alive if name not in found.dropped]
        if _is_decided(found.rounds, alive, start) or clock() - begin >= max_seconds:
            break
    return found


def _is_decided(rounds: Sequence[Round], alive: Sequence[str], start: str) -> bool:
    if len(alive) > 2:
        return False
    return all(is_slower(ratio(rounds, start, name)) or is_slower(ratio(rounds, name, start)) for name in alive if name != start)


def fastest(rounds: Sequence[Round], names: Sequence[str], start: str) -> str:
    """The arm with the least cost, by its median ratio to the start's."""
    return min(names, key=lambda name: ratio(rounds, name, start).middle)


def ratio(rounds: Sequence[Round], name: str, other: str) -> Ratio:
    """How `name` compares with `other` in the rounds that both ran in; infinite bounds for too few of them."""
    logs = [math.log(one[name] / one[other]) for one in rounds if name in one and other in one]
    if not logs:
        return Ratio(math.nan, 0.0, math.inf, 0)
    interval = percentile_interval(logs, 0.5, CONFIDENCE, independent=True)
    low, high = (interval.low, interval.high) if interval else (-math.inf, math.inf)
    return Ratio(math.exp(percentile(logs, 0.5)), math.exp(low), math.exp(high), len(logs))


def is_slower(seen: Ratio) -> bool:
    """Whether the whole interval is slower by more than what a fresh process may shift."""
    return seen.low > 1 + MARGIN


def _round(arms: Mapping[str, Visit], alive: list[str], number: int, tiles: Mapping[str, int], found: Race) -> Round:
    """One visit there and one back; an arm that fails is taken out of `alive` and said in `found`."""
    visits: dict[str, list[float]] = {name: [] for name in alive}
    for index in order_of(len(visits), number):
        name = list(visits)[index]
        if name in found.failed:
            continue
        try:
            visits[name].append(arms[name]())
        except MeasurementError as error:
            found.failed[name] = error.message
            alive.remove(name)
    return {name: math.sqrt(seen[0] * seen[1]) / tiles[name] for name, seen in visits.items() if len(seen) == 2}
