"""The front and the ranks, by hand cases and against brute force."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from harness.results.pareto import Better, Coordinate, Point, dominates, front, ranks


def at(value: float, half: float = 0.0) -> Coordinate:
    return Coordinate(value, value - half, value + half)


UNKNOWN = Coordinate(1.0, -math.inf, math.inf)
WAYS: tuple[Better, Better] = ("higher", "lower")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((at(0.9), at(1.0)), (at(0.8), at(2.0)), True),  # better in both
        ((at(0.9), at(1.0)), (at(0.9), at(2.0)), True),  # equal in one
        ((at(0.9), at(1.0)), (at(0.9), at(1.0)), False),  # the same point
        ((at(0.9, 0.05), at(1.0, 0.1)), (at(0.88, 0.05), at(1.1, 0.1)), False),  # better in both, within noise
        ((at(0.9, 0.05), at(1.0, 0.1)), (at(0.88, 0.05), at(1.3, 0.1)), True),  # faster beyond noise, mIoU not worse
        ((at(0.88, 0.05), at(1.0, 0.1)), (at(0.9, 0.05), at(1.3, 0.1)), False),  # faster beyond noise, mIoU a little worse
        ((at(0.9), UNKNOWN), (at(0.9), at(5.0)), False),  # unknown uncertainty separates nothing
    ],
)
def test_dominance_by_hand(first: Point, second: Point, expected: bool) -> None:
    assert dominates(first, second, WAYS) is expected
    assert front([first, second], WAYS)[1] is not expected


def test_dominance_is_not_transitive_so_dominated_rows_dominate_too() -> None:
    # a beats b on the first axis only, b beats c on the second only, a and c overlap on both.
    a, b, c = (at(1, 0.1), at(1, 2)), (at(2, 0.1), at(1.5, 0.1)), (at(2.5, 2), at(3, 0.1))
    ways: tuple[Better, Better] = ("lower", "lower")
    assert dominates(a, b, ways)
    assert dominates(b, c, ways)
    assert not dominates(a, c, ways)
    assert front([a, b, c], ways) == [True, False, False]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_front_is_what_no_other_point_dominates(axes: int) -> None:
    chosen = random.Random(axes)
    for _ in range(60):
        ways: list[Better] = [chosen.choice(WAYS) for _ in range(axes)]
        # Few distinct values, so that ties and touching intervals occur.
        points = [tuple(at(chosen.randint(0, 6), chosen.choice((0, 0.5, 1, 2, math.inf))) for _ in range(axes)) for _ in range(25)]
        assert front(points, ways) == [not any(_oracle(other, point, ways) for other in points) for point in points]


def _oracle(first: Point, second: Point, ways: list[Better]) -> bool:
    """The rule of the docstring, word for word."""
    not_worse, separate = True, False
    for a, b, way in zip(first, second, ways, strict=True):
        not_worse &= a.value <= b.value if way == "lower" else a.value >= b.value
        separate |= a.high < b.low if way == "lower" else a.low > b.high
    return not_worse and separate


def test_no_points_no_front() -> None:
    assert front([], WAYS) == []


def test_overlapping_intervals_share_a_rank() -> None:
    found = ranks([at(0.9, 0.02), at(0.7, 0.02), at(0.87, 0.02), UNKNOWN, at(0.5)], "higher")
    assert [(rank.place, rank.shared) if rank else None for rank in found] == [(1, True), (3, False), (1, True), None, (4, False)]


def test_touching_intervals_share_a_rank() -> None:
    assert [rank.place for rank in ranks([at(1, 1), at(3, 1)], "lower") if rank] == [1, 1]


def test_a_chain_of_overlaps_is_one_rank_and_different_ranks_are_separate() -> None:
    chosen = random.Random(7)
    for _ in range(40):
        items = [at(chosen.uniform(0, 20), chosen.uniform(0, 1)) for _ in range(15)]
        found = [rank.place for rank in ranks(items, "lower") if rank]
        for (a, first), (b, second) in itertools.combinations(zip(items, found, strict=True), 2):
            if a.low <= b.high and b.low <= a.high:
                assert first == second
            elif first != second:
                assert (first < second) == (a.high < b.low)
