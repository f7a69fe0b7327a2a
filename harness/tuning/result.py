"""What a search found, as rows for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.tuning.choice import Entry, against
from harness.tuning.race import Round, ratio
from harness.tuning.scoring import UNREACHED
from harness.tuning.search import Choice, Search


@dataclass(frozen=True)
class Row:
    """One candidate, or a cell that never became one. Base units; `speedup` against the start with its interval; `drop` in mIoU."""

    label: str
    status: str
    why: str
    threads: int | None = None
    batch: int | None = None
    speedup: tuple[float, float, float | None] | None = None
    seconds: float | None = None
    memory: float | None = None
    drop: float | None = None
    drop_bounds: tuple[float, float] | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class Tuned:
    """The answer. `winner` None: nothing is within the limits; `profile`: the file that was written; `notes`: what the reader must know."""

    subject: str
    start: str
    goal: str
    machine: str
    winner: Row | None
    rows: tuple[Row, ...]
    nearest: tuple[str, ...]
    notes: tuple[str, ...]
    profile: Path | None
    artifact: Path | None
    journal: Path
    resumed: int
    seconds: float

    @property
    def is_unfinished(self) -> bool:
        """Whether the budget was over before all candidates had their turn; a winner is then the best so far."""
        return any(row.status == "unreached" for row in self.rows)

    def as_object(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "unfinished": self.is_unfinished}


def rows_of(search: Search, choice: Choice) -> list[Row]:
    """All candidates, the winner and its ties first, then by cost, then those that were not raced, then cells that never became candidates."""
    rows = {entry.key: _row(search, entry, *_verdict(search, entry, choice)) for entry in search.entries}
    order = {"winner": 0, "tied": 1, "start": 2, "lost": 2, "failed": 3, "unreached": 4}
    ordered = sorted(rows.values(), key=lambda row: (order[row.status], -(row.speedup[0] if row.speedup else 0.0)))
    lost = [_lost_row(one.label, one.why, one.seen) for one in search.scoring.lost]
    return [*ordered, *lost, *(Row(one.label, "unreached", one.why) for one in search.scoring.unreached)]


def _lost_row(label: str, why: str, seen: Any) -> Row:
    if seen is None or seen.failed:
        return Row(label, "failed", why)
    return Row(label, "lost", why, memory=seen.memory, drop=seen.drop, drop_bounds=seen.drop_bounds, agreement=seen.agreement)


def nearest_misses(search: Search, count: int = 3) -> list[str]:
    """What came closest to the limits, nearest first."""
    found = [(one.miss, f"{one.label}: {one.why}") for one in search.scoring.lost if one.miss is not None]
    missing = [entry for entry in search.entries if entry.misses and not entry.failed]
    found += [(max(miss.ratio for miss in entry.misses), f"{entry.candidate.label}: {_words(entry)}") for entry in missing]
    return [words for _, words in sorted(found)[:count]]


def speedup_of(rounds: Sequence[Round], key: str, start: str) -> tuple[float, float, float | None] | None:
    """How many times faster than the start, with the interval (an upper end of None: too few rounds for one); None where it was not raced."""
    seen = ratio(rounds, key, start)
    return (1 / seen.middle, 1 / seen.high, 1 / seen.low if seen.low else None) if seen.rounds else None


def _row(search: Search, entry: Entry, status: str, why: str) -> Row:
    known = entry.confirmed or entry.assessed
    return Row(
        label=entry.candidate.label,
        status=status,
        why=why,
        threads=entry.candidate.threads,
        batch=entry.candidate.batch,
        speedup=speedup_of(search.rounds, entry.key, search.start.key),
        seconds=entry.seconds,
        memory=entry.memory,
        drop=known.drop,
        drop_bounds=known.drop_bounds,
        agreement=known.agreement,
    )


def _verdict(search: Search, entry: Entry, choice: Choice) -> tuple[str, str]:
    is_start = entry.key == search.start.key
    if entry is choice.winner:
        return "winner", _won(choice)
    if entry.failed:
        return ("start" if is_start else "failed"), entry.failed
    if entry.misses:
        return "lost", _words(entry)
    if not entry.has_raced or (choice.winner is None and entry.can_win):
        return "unreached", UNREACHED
    if entry in choice.equal:
        return "tied", f"{_compared(search, entry, choice)}: a tie; the winner has {choice.preferred.get(entry.key, 'less time')}"
    return ("start" if is_start else "lost"), f"slower: {_compared(search, entry, choice)}"


def _words(entry: Entry) -> str:
    return "; ".join(miss.words for miss in entry.misses)


def _won(choice: Choice) -> str:
    return "the fastest within the limits of those that were raced" if len(choice.equal) < 2 else f"the simplest of {len(choice.equal)} that tie"


def _compared(search: Search, entry: Entry, choice: Choice) -> str:
    """The entry's cost beside the fastest one's, or beside that of the arm that it dropped out against where nothing fits."""
    other = choice.fastest or search.by_key.get(entry.dropped)
    if other is None:
        return "no winner to compare with"
    if other is entry:
        return "the fastest"
    seen = against(search.rounds, entry.key, other.key, search.start.key)
    name = "the fastest one's" if other is choice.fastest else f"that of {other.candidate.label}"
    return f"{seen.middle:.3g} x {name} time [{seen.low:.3g}, {seen.high:.3g}]"
