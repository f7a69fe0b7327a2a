"""Before the race: every artifact is made where it is missing, and judged once on each runtime."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.artifact import read_artifact, read_checkpoint, read_subject
from harness.core.errors import ExportError, HarnessError
from harness.profiling.isolate import TIMED_OUT
from harness.profiling.plan import CellPlan
from harness.support.clock import wall_clock
from harness.tuning.assessing import Assessed, Jury, Setting
from harness.tuning.candidates import Candidate, Wanted, milder, ways_of
from harness.tuning.choice import Limits, misses_of
from harness.tuning.exporting import Order, export_apart
from harness.tuning.journal import Journal

EXPORT_SECONDS, CELL_SECONDS = 1800.0, 900.0
#: What a step has at least when the budget is nearly over.
LEAST_SECONDS = 60.0
#: A step that the budget ended is begun again only where it may take so many times as long: it must not keep all others from their turn for ever.
LONGER = 1.5
#: A candidate that needs as many times the start's seconds for the same tiles, LEAST_SECONDS for its start apart, is not the fastest.
TOO_SLOW = 10.0

UNREACHED = "not reached: the budget was over; run again to go on"


@dataclass(frozen=True)
class Lost:
    """A cell that never became a candidate: why, what was seen of it, and how far it misses a limit (None: it is no miss but a failure)."""

    label: str
    why: str
    seen: Assessed | None = None
    miss: float | None = None


@dataclass
class Scoring:
    """Judges cells and keeps what it found in the journal. `data` and `root` are for exports.

    `left`: seconds until what is not judged makes way for the race; what begins before that has LEAST_SECONDS at least.
    `lost`: cells that can't become candidates; `unreached`: what was not begun, or not finished within the budget.
    """

    setting: Setting
    limits: Limits
    start: Candidate
    journal: Journal
    left: Callable[[], float]
    data: str | None = None
    root: Path | None = None
    lost: list[Lost] = field(default_factory=list)
    unreached: list[Lost] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._jury = Jury(self.setting, self.start)

    def assess(self, candidate: Candidate) -> Assessed:
        """What a candidate does alone, however long the budget is; from the journal where it is known."""
        known = self._known(candidate)
        return known or self._kept(candidate, self._timed(candidate, CELL_SECONDS))

    def _within_budget(self, candidate: Candidate) -> Assessed | None:
        """The same, None where the budget ended it; one that is much slower than the start fails."""
        known = self._known(candidate)
        if known is not None or self.left() <= 0:
            return known
        start = self._known(self.start)
        too_slow = LEAST_SECONDS + TOO_SLOW * start.seconds if start and start.seconds else CELL_SECONDS
        most = min(CELL_SECONDS, too_slow)
        limit = self._limited(most)
        if self._is_too_long(f"alone {candidate.key}", limit, most):
            return None
        found = self._timed(candidate, limit)
        if found.failed.startswith(TIMED_OUT):
            if limit < most:
                self.journal.add(f"ended alone {candidate.key}", limit)
                return None
            if most == too_slow:
                found = found.model_copy(update={"failed": f"{found.failed}: over {TOO_SLOW:g} times what the network on PyTorch takes"})
        return self._kept(candidate, found)

    def _timed(self, candidate: Candidate, limit: float) -> Assessed:
        begin = wall_clock()
        found = self._jury.assess(candidate, timeout=limit)
        return found.model_copy(update={"seconds": wall_clock() - begin})

    def _known(self, candidate: Candidate) -> Assessed | None:
        known = self.journal.get(f"alone {candidate.key}")
        return None if known is None else Assessed(**known)

    def _kept(self, candidate: Candidate, found: Assessed) -> Assessed:
        self.journal.add(f"alone {candidate.key}", found.model_dump(mode="json"))
        return found

    def _is_too_long(self, step: str, limit: float, most: float) -> bool:
        """Whether the budget ended the step before, and `limit` gives it hardly more, and less than it may have at all."""
        return limit < min(most, LONGER * (self.journal.get(f"ended {step}") or 0.0))

    def _put_off(self, cell: Wanted, step: str) -> None:
        ended = self.journal.get(f"ended {step}")
        self.unreached.append(Lost(cell.label, f"not finished within {ended:.0f} s: a larger --budget" if ended else UNREACHED))

    def _limited(self, most: float) -> float:
        """Seconds that a step may take at most."""
        return min(most, max(self.left(), LEAST_SECONDS))

    def passing(self, wanted: Sequence[Wanted], ways: tuple[Sequence[int], Sequence[int]], say: Callable[[str], None]) -> Iterator[tuple[Candidate, Assessed]]:
        """The candidates of the cells that lose little enough, with what is known of the cell; `ways`: numbers of threads, and batches.

        What loses too much is tried once more with its most sensitive layers in a higher precision.
        """
        queue = deque(wanted)
        while queue:
            cell = queue.popleft()
            say(cell.label)
            plan = self._made(cell)
            if plan is None:
                continue
            candidates = ways_of(plan, *ways)
            seen = self._within_budget(candidates[0])
            if seen is None:
                self._put_off(cell, f"alone {candidates[0].key}")
                continue
            misses = misses_of(self.limits, drop=seen.drop, memory=None, latency=None)
            if seen.failed or misses:
                self.lost.append(Lost(cell.label, seen.failed or misses[0].words, seen, misses[0].ratio if misses else None))
                queue.extend(milder(cell, self.limits.drop) if misses else [])
                continue
            yield from ((candidate, seen) for candidate in candidates)

    def _made(self, cell: Wanted) -> CellPlan | None:
        """The cell with its artifact, exported where it is missing; None where that can't be, which is kept in `lost`."""
        key = _export_key(cell)
        known = self.journal.get(key)
        try:
            if known is None and cell.exporter and not self._is_made(cell) and (self.left() <= 0 or not self._make(cell)):
                self._put_off(cell, key)
                return None
            if known is None:
                return CellPlan(cell.folder, read_subject(cell.folder), cell.backend)
        except HarnessError as error:
            known = error.message
            self.journal.add(key, known)
        self.lost.append(Lost(cell.label, f"can't be exported: {known}"))
        return None

    def _make(self, cell: Wanted) -> bool:
        """Whether it was made before the budget ended it. Raises HarnessError where it can't be."""
        checkpoint, options = self.start.plan.folder, dict(cell.options)
        order = Order(checkpoint=checkpoint, to=cell.exporter, precision=cell.precision, out=cell.folder, options=options, data=self.data, root=self.root)
        limit = self._limited(EXPORT_SECONDS)
        if self._is_too_long(_export_key(cell), limit, EXPORT_SECONDS):
            return False
        try:
            export_apart(order, self.setting.work / "export", timeout=limit)
        except ExportError as error:
            if limit < EXPORT_SECONDS and TIMED_OUT in error.message:
                self.journal.add(f"ended {_export_key(cell)}", limit)
                return False
            raise
        return True

    def _is_made(self, cell: Wanted) -> bool:
        """Whether an earlier export left this very artifact: two runtimes may share it."""
        try:
            made = read_artifact(cell.folder)
            known = {name: made.options.get(name) for name in cell.options}
            wanted = (read_checkpoint(self.start.plan.folder).sha256, cell.precision, dict(cell.options))
            return (made.checkpoint_sha256, made.precision, known) == wanted
        except HarnessError:
            return False


def _export_key(cell: Wanted) -> str:
    return f"export {cell.folder.name} {cell.label}"
