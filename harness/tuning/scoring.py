"""Before the race: every artifact is made where it is missing, and judged once on each runtime."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.artifact import read_artifact, read_checkpoint, read_subject
from harness.core.errors import HarnessError
from harness.profiling.plan import CellPlan
from harness.tuning.assessing import Assessed, Jury, Setting
from harness.tuning.candidates import Candidate, Wanted, milder, ways_of
from harness.tuning.choice import Limits, misses_of
from harness.tuning.exporting import Order, export_apart
from harness.tuning.journal import Journal

EXPORT_SECONDS, CELL_SECONDS = 1800.0, 900.0


@dataclass(frozen=True)
class Lost:
    """A cell that never became a candidate: why, what was seen of it, and how far it misses a limit (None: it is no miss but a failure)."""

    label: str
    why: str
    seen: Assessed | None = None
    miss: float | None = None


@dataclass
class Scoring:
    """Judges cells and keeps what it found in the journal. `is_over` says when nothing new may be begun; `data` and `root` are for exports.

    `lost`: cells that can't become candidates; `unreached`: what was not begun.
    """

    setting: Setting
    limits: Limits
    start: Candidate
    journal: Journal
    is_over: Callable[[], bool]
    data: str | None = None
    root: Path | None = None
    lost: list[Lost] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._jury = Jury(self.setting, self.start)

    def assess(self, candidate: Candidate) -> Assessed:
        """What a candidate does alone, from the journal where it is known."""
        key = f"alone {candidate.key}"
        known = self.journal.get(key)
        if known is None:
            found = self._jury.assess(candidate, timeout=CELL_SECONDS)
            self.journal.add(key, found.model_dump(mode="json"))
            return found
        return Assessed(**known)

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
            if self.is_over() and self.journal.get(f"alone {candidates[0].key}") is None:
                self.unreached.append(cell.label)
                continue
            seen = self.assess(candidates[0])
            misses = misses_of(self.limits, drop=seen.drop, memory=None, latency=None)
            if seen.failed or misses:
                self.lost.append(Lost(cell.label, seen.failed or misses[0].words, seen, misses[0].ratio if misses else None))
                queue.extend(milder(cell, self.limits.drop) if misses else [])
                continue
            yield from ((candidate, seen) for candidate in candidates)

    def _made(self, cell: Wanted) -> CellPlan | None:
        """The cell with its artifact, exported where it is missing; None where that can't be, which is kept in `lost`."""
        key = f"export {cell.folder.name} {cell.label}"
        known = self.journal.get(key)
        try:
            if known is None and cell.exporter and not self._is_made(cell):
                if self.is_over():
                    self.unreached.append(cell.label)
                    return None
                self._make(cell)
            if known is None:
                return CellPlan(cell.folder, read_subject(cell.folder), cell.backend)
        except HarnessError as error:
            known = error.message
            self.journal.add(key, known)
        self.lost.append(Lost(cell.label, f"can't be exported: {known}"))
        return None

    def _make(self, cell: Wanted) -> None:
        checkpoint, options = self.start.plan.folder, dict(cell.options)
        order = Order(checkpoint=checkpoint, to=cell.exporter, precision=cell.precision, out=cell.folder, options=options, data=self.data, root=self.root)
        export_apart(order, self.setting.work / "export", timeout=EXPORT_SECONDS)

    def _is_made(self, cell: Wanted) -> bool:
        """Whether an earlier export left this very artifact: two runtimes may share it."""
        try:
            made = read_artifact(cell.folder)
            known = {name: made.options.get(name) for name in cell.options}
            wanted = (read_checkpoint(self.start.plan.folder).sha256, cell.precision, dict(cell.options))
            return (made.checkpoint_sha256, made.precision, known) == wanted
        except HarnessError:
            return False
