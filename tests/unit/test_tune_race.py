"""Racing on a made-up busy machine whose true costs are known, and the statistics against hand counts."""

import math
from functools import partial

import pytest

from harness.core.errors import MeasurementError
from harness.profiling.rounds import visit
from harness.tuning.race import LOOKS, MARGIN, Ratio, fastest, is_slower, race, ratio
from tests.machine_model import BusyMachine


def arms_of(machine: BusyMachine, costs: dict[str, float]):
    """Visits of five calls each, on the machine's own clock."""
    return {name: partial(visit, machine.arm(seconds), machine.clock, 5) for name, seconds in costs.items()}


def raced(seed: int, costs: dict[str, float], **more):
    machine = BusyMachine(seed)
    given = {"start": "start", "clock": machine.clock, "max_seconds": 1e9, **more}
    return race(arms_of(machine, costs), dict.fromkeys(costs, 1), **given)


def test_what_is_surely_slower_drops_out_at_the_first_look_and_is_not_visited_again():
    found = raced(1, {"start": 0.02, "quick": 0.005, "slow": 0.015})
    assert found.dropped["slow"] == "quick"
    assert sum("slow" in one for one in found.rounds) == LOOKS[0]
    assert fastest(found.rounds, ["start", "quick", "slow"], "start") == "quick"
    assert ratio(found.rounds, "quick", "start").middle == pytest.approx(0.25, rel=0.1)


def test_equals_are_hardly_ever_told_apart():
    """95 % confidence over all looks and a margin of 2 %: at most 1 in 20 equals may drop out, and the least of six equals is a harder case."""
    lost = sum(len(raced(seed, {"start": 0.02, **{f"equal{number}": 0.005 for number in range(5)}}).dropped) for seed in range(20))
    assert lost <= 0.05 * 20 * 4


def test_a_tenth_slower_is_found_in_nearly_every_race():
    found = [raced(seed, {"start": 0.02, "quick": 0.005, "tenth": 0.0055}) for seed in range(20)]
    assert sum("tenth" in one.dropped for one in found) >= 18
    assert not any("quick" in one.dropped for one in found)


def test_the_start_never_drops_out_and_one_clear_winner_ends_the_race():
    found = raced(3, {"start": 0.02, "quick": 0.005})
    assert "start" not in found.dropped
    assert len(found.rounds) == LOOKS[0]


def test_a_race_that_is_not_decided_goes_on_to_the_last_look_or_to_the_end_of_its_time():
    costs = {"start": 0.02, "one": 0.005, "two": 0.005}
    assert len(raced(5, costs).rounds) == LOOKS[-1]
    assert len(raced(5, costs, max_seconds=0.0).rounds) == LOOKS[0]


def test_an_arm_that_fails_is_said_and_the_others_go_on():
    machine = BusyMachine(0)
    arms = arms_of(machine, {"start": 0.02, "good": 0.005})

    def broken() -> float:
        raise MeasurementError("killed by the system")

    found = race({**arms, "broken": broken}, dict.fromkeys((*arms, "broken"), 1), start="start", clock=machine.clock, max_seconds=1e9)
    assert found.failed == {"broken": "killed by the system"}
    assert all(set(one) == {"start", "good"} for one in found.rounds)
    with pytest.raises(MeasurementError, match="which all are compared with"):
        race({**arms, "start": broken}, dict.fromkeys(arms, 1), start="start", clock=machine.clock, max_seconds=1e9)


def test_costs_are_per_tile():
    machine = BusyMachine(0)
    arms = arms_of(machine, {"start": 0.01, "four": 0.02})
    found = race(arms, {"start": 1, "four": 4}, start="start", clock=machine.clock, max_seconds=1e9)
    assert ratio(found.rounds, "four", "start").middle == pytest.approx(0.5, rel=0.1)


def test_a_ratio_uses_shared_rounds_only_and_needs_enough_of_them():
    """The interval at 1 - 0.05 / 3 of eight values is from the least to the largest: 2 * 0.5 ** 8 = 0.8 % lie outside, of 1.7 % allowed."""
    rounds = [{"a": 2.0 * number, "b": float(number)} for number in range(1, 8)] + [{"a": 3.0, "b": 1.0}, {"a": 100.0}, {"b": 100.0}]
    seen = ratio(rounds, "a", "b")
    assert (seen.middle, seen.low, seen.high, seen.rounds) == pytest.approx((2.0, 2.0, 3.0, 8))
    few = ratio(rounds[:3], "a", "b")
    assert (few.middle, few.low, few.high) == pytest.approx((2.0, 0.0, math.inf))
    assert ratio(rounds, "a", "c").rounds == 0


def test_rounds_that_resemble_each_other_are_bounded_by_all_that_was_seen():
    """Two heats whose processes differ: worth two, not 40, yet slower in every one of them."""
    rounds = [{"a": 4.0, "b": 1.0}] * 20 + [{"a": 5.0, "b": 1.0}] * 20
    seen = ratio(rounds, "a", "b")
    assert (seen.low, seen.high) == pytest.approx((4.0, 5.0))
    assert is_slower(seen)


@pytest.mark.parametrize(("low", "slower"), [(1.0, False), (1 + MARGIN, False), (1.001 + MARGIN, True)])
def test_only_what_is_beyond_the_margin_is_slower(low, slower):
    assert is_slower(Ratio(1.1, low, 1.2, 8)) is slower
