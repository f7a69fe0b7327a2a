"""The answer of a search as lines for people: the winner, then every candidate with what was measured and why it lost."""

from __future__ import annotations

from collections.abc import Sequence

from harness.results.layout import printable
from harness.tuning.result import Row, Tuned

HEAD = ("candidate", "speedup [98 %]", "ms", "MB", "mIoU lost, points", "", "why")


def lines_of(found: Tuned) -> list[str]:
    """A table, and above it the choice in words. `speedup`: times faster than the start, per tile, timed in turns."""
    lines = [f"{found.subject} on {found.machine}, goal {found.goal}, compared with {found.start}", *_chosen(found)]
    table = [HEAD, *(_cells(row) for row in found.rows)]
    return list(map(printable, [*lines, "", *_aligned(table)]))


def _chosen(found: Tuned) -> list[str]:
    """The winner in words, or why there is none."""
    over = "the budget was over before all candidates were raced; run the same command again to go on"
    if found.winner is None and found.is_unfinished:
        return [f"no winner yet: {over}"]
    if found.winner is None:
        head = "no candidate is within the limits"
        return [f"{head}; nearest misses:" if found.nearest else head, *(f"  {words}" for words in found.nearest)]
    word, tied = "best so far" if found.is_unfinished else "winner", [row for row in found.rows if row.status == "tied"]
    lines = [f"{word}: {found.winner.label}: {_speedup(found.winner)} x, {_size(found.winner.memory)} MB, mIoU lost {_drop(found.winner)} points"]
    lines += [f"  {len(tied)} more tie with it: the difference is within noise or 2 %; it is the simplest of them"] if tied else []
    return [*lines, f"  {over}"] if found.is_unfinished else lines


def _cells(row: Row) -> tuple[str, ...]:
    milliseconds = f"{1e3 * row.seconds:.3g}" if row.seconds else "-"
    return (row.label, _speedup(row), milliseconds, _size(row.memory), _drop(row), row.status, row.why)


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cells[index]) for cells in table) for index in range(len(HEAD) - 1)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=True)), cells[-1]]).rstrip() for cells in table]


def _speedup(row: Row) -> str:
    if row.speedup is None:
        return "-"
    middle, low, high = row.speedup
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]" if high is not None else f"{middle:.2f} [?]"


def _size(memory: float | None) -> str:
    return f"{memory / 1e6:.0f}" if memory is not None else "-"


def _drop(row: Row) -> str:
    if row.drop is None:
        return "-"
    between = f" [{100 * row.drop_bounds[0]:.2f}, {100 * row.drop_bounds[1]:.2f}]" if row.drop_bounds else ""
    return f"{100 * row.drop + 0.0:.2f}{between}".replace("-0.00", "0.00")
