"""The search: make and score every artifact, race what loses little enough, try options on those in front, race the last ones again.

Accuracy is judged first: it is the same for all threads and batches of an artifact, so what loses too much is never timed. Every
finished step is in the journal before the next one starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.stages import Progress
from harness.support.clock import wall_clock
from harness.tuning.assessing import Assessed, Setting
from harness.tuning.candidates import Candidate, Wanted, cell_label, variants_of
from harness.tuning.choice import CLOSE, Entry, Limits, against, leader_of, misses_of, simplest, tied, unmeasured
from harness.tuning.heats import HEAT_SECONDS, Heat, groups, memory_of, run_heat
from harness.tuning.journal import Journal
from harness.tuning.race import Round, is_slower, ratio
from harness.tuning.scoring import CELL_SECONDS, Scoring

#: Of the budget: after it no export and no scoring is begun, and those that have begun end; the rest is for racing.
SCORING_SHARE = 0.6
#: Options are tried on candidates that may be within this of the fastest: they seldom gain more.
NEAR = 1.10
#: Of those that tie; a second and third one where a tie is one only for want of rounds.
LAST_RACES = 3
#: Winners that fail when they are confirmed before a search whose budget is over leaves the others to the next run.
MOST_CONFIRMED = 5
NOT_ASKED = "not among what is searched: the others are compared with it"


@dataclass(frozen=True)
class Choice:
    """The winner (None: nothing fits), the fastest, which may be less simple, those that tie with it, and why the winner was preferred to each by key."""

    winner: Entry | None = None
    fastest: Entry | None = None
    equal: Sequence[Entry] = ()
    preferred: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Search:
    """One run of the search, of about `seconds`."""

    setting: Setting
    limits: Limits
    start: Candidate
    journal: Journal
    seconds: float
    progress: Progress
    data: str | None = None
    root: Path | None = None
    clock: Callable[[], float] = wall_clock
    entries: list[Entry] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    by_key: dict[str, Entry] = field(default_factory=dict)
    done: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self._begin = self.clock()
        self.scoring = Scoring(self.setting, self.limits, self.start, self.journal, lambda: SCORING_SHARE * self.seconds - self.spent(), self.data, self.root)

    def spent(self) -> float:
        """Seconds since this run began."""
        return self.clock() - self._begin

    def score(self, wanted: Sequence[Wanted], ways: tuple[Sequence[int], Sequence[int]]) -> None:
        """Judge each cell's accuracy; the candidates of those that pass become entries."""
        self.total = len(wanted) * (1 + len(ways[0]) * len(ways[1]))
        self._enter(self.start, self.scoring.assess(self.start))
        for candidate, seen in self.scoring.passing(wanted, ways, self._say):
            self._enter(candidate, seen)

    def run(self, *, start_may_win: bool) -> None:
        """Race all entries, then options on those in front, then those that are left once more."""
        pending = sorted((entry for entry in self.entries if entry.key != self.start.key), key=_promise)
        if not start_may_win:
            self._start.failed = NOT_ASKED
        self._heats("first", pending)
        near = [entry for entry in self.entries if self._is_near(entry)]
        added = [self._enter(other, entry.assessed) for entry in near for other in variants_of(entry.candidate, self.setting.device)]
        self.total += len(added)
        self._heats("options", added)
        for number in range(LAST_RACES):
            best = leader_of(self.entries, self.rounds, self.start.key)
            if best is None or best is self._start:
                return
            rivals = [entry for entry in tied(self.entries, self.rounds, best, self.start.key) if entry not in (best, self._start)]
            if number and not any(self._is_open(entry, best) for entry in rivals):
                return
            self.total += len(rivals)
            self._heats(f"last {number + 1}", sorted(rivals, key=lambda entry: ratio(self.rounds, entry.key, self.start.key).middle))
            if not rivals:
                self._heat("last", [best])  # a second process: each finds another layout of memory

    def _is_open(self, entry: Entry, best: Entry) -> bool:
        """Whether a tie is one only because too little was seen of it."""
        return against(self.rounds, entry.key, best.key, self.start.key).middle > CLOSE

    def choose(self) -> Choice:
        """The winner, confirmed in a process of its own with all its settings; one that fails then makes room for the next.

        Without a winner those that still can win had no turn.
        """
        tried = 0
        while True:
            best = leader_of(self.entries, self.rounds, self.start.key)
            if best is None or (tried >= MOST_CONFIRMED and self.spent() >= self.seconds):
                return Choice(fastest=best)
            tried += 1
            equal = tied(self.entries, self.rounds, best, self.start.key)
            winner, why = simplest(equal, self.rounds, best, self.start.key)
            self._say(f"confirming {winner.candidate.label}")
            seen = winner.confirmed = self.scoring.assess(winner.candidate)
            misses = misses_of(self.limits, drop=seen.drop, memory=seen.memory, latency=seen.latency)
            winner.failed, winner.misses = seen.failed or unmeasured(self.limits, memory=seen.memory, latency=seen.latency), misses
            if not (winner.failed or misses):
                return Choice(winner, best, equal, why)

    @property
    def _start(self) -> Entry:
        return self.by_key[self.start.key]

    def _enter(self, candidate: Candidate, seen: Assessed) -> Entry:
        if candidate.key not in self.by_key:
            self.by_key[candidate.key] = Entry(candidate, seen)
            self.entries.append(self.by_key[candidate.key])
        return self.by_key[candidate.key]

    def _heats(self, phase: str, pending: Iterable[Entry]) -> None:
        """Race in groups beside the start and whoever leads by then."""
        left = list(pending)
        while left:
            leader = leader_of(self.entries, self.rounds, self.start.key)
            beside = [self._start, *([leader] if leader and leader is not self._start else [])]
            group = next(groups([entry for entry in left if entry is not leader], beside, memory_of(self.setting.device)), [])
            left = [entry for entry in left if entry not in group and entry is not leader]
            if not group:
                break
            self._say(f"{phase} race: {', '.join(cell_label(entry.candidate.plan) for entry in group)}", len(group))
            self._heat(phase, [*beside[1:], *group])

    def _heat(self, phase: str, arms: Sequence[Entry]) -> None:
        key = f"race {phase} {hashlib.sha256(' '.join(entry.key for entry in arms).encode()).hexdigest()[:16]}"
        known = self.journal.get(key)
        if known is None and self.spent() >= self.seconds:
            return
        heat = Heat(**known) if known is not None else self._run_heat(arms)
        if known is None:
            self.journal.add(key, heat.model_dump(mode="json"))
        self.rounds += heat.rounds
        for entry in [self._start, *arms]:
            self._learn(entry, heat)

    def _run_heat(self, arms: Sequence[Entry]) -> Heat:
        seconds = min(HEAT_SECONDS, max(self.seconds - self.spent(), 1.0))
        return run_heat(self.setting, arms, self.start, self.limits, seconds=seconds, timeout=CELL_SECONDS)

    def _learn(self, entry: Entry, heat: Heat) -> None:
        entry.memory = max(filter(None, (entry.memory, heat.memory.get(entry.key))), default=None)
        entry.failed = heat.failed.get(entry.key, entry.failed)
        entry.dropped = heat.dropped.get(entry.key, entry.dropped)
        costs = sorted(one[entry.key] for one in self.rounds if entry.key in one)
        entry.seconds = costs[len(costs) // 2] * entry.candidate.batch if costs else None
        entry.misses = misses_of(self.limits, drop=None, memory=entry.memory, latency=entry.seconds)
        if entry.has_raced:
            entry.failed = entry.failed or unmeasured(self.limits, memory=entry.memory, latency=entry.seconds)

    def _is_near(self, entry: Entry) -> bool:
        """Whether another option could bring it to the front, or below the limit of memory."""
        best = leader_of(self.entries, self.rounds, self.start.key)
        if entry.failed or entry.memory is None:
            return False
        if not entry.has_raced:
            return bool(entry.misses)
        return best is not None and not entry.misses and not is_slower_than_near(self.rounds, entry, best, self.start.key)

    def _say(self, what: str, steps: int = 1) -> None:
        self.done = min(self.done + steps, self.total)
        self.progress(self.done, max(self.total, 1), what)


def is_slower_than_near(rounds: Sequence[Round], entry: Entry, best: Entry, start: str) -> bool:
    """Whether an entry is surely slower than the best by more than options can make up for."""
    seen = against(rounds, entry.key, best.key, start)
    return entry is not best and (seen.low > NEAR or (seen.rounds == 0 and is_slower(seen)))


def _promise(entry: Entry) -> tuple[float, int]:
    """The fastest alone first, most threads first."""
    return (entry.assessed.latency or float("inf"), -entry.candidate.threads)
