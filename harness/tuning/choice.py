"""Which candidate wins: the fastest within the limits, and of those that tie with it the simplest.

A limit is judged by the measured value; where its interval reaches beyond the limit, that is said as a doubt. Candidates tie where
none is surely slower by more than `race.MARGIN`. The simplest of them takes less memory (5 % count as the same, and so does what nobody
measured), then fewer threads, then the higher precision, then the fewer changed options; what is still equal is decided by the measured
cost. One that ties only because too little was seen of it, and whose median is slower by more than CLOSE, is not taken for being simple.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.core.specs import Value
from harness.tuning.assessing import Assessed
from harness.tuning.candidates import Candidate
from harness.tuning.race import LOOKS, Ratio, Round, is_slower, ratio

SAME_MEMORY = 1.05
CLOSE = 1.05
#: Higher first; other precisions come between fp16 and int8.
PRECISIONS = {"fp32": 0, "bf16": 1, "fp16": 1, "int8": 3}


class Limits(Value):
    """What a winner must meet, in base units; None: no limit. `drop`: mIoU lost against the network on torch_eager."""

    drop: float
    memory: float | None = None
    latency: float | None = None


class Miss(NamedTuple):
    """A limit that is not met, in words, and how far off the value is, as a ratio above 1."""

    words: str
    ratio: float


@dataclass
class Entry:
    """A candidate with what is known of it. `seconds`: of a call, the fastest of visits. `dropped`: the key of the arm it dropped out against."""

    candidate: Candidate
    assessed: Assessed
    memory: float | None = None
    seconds: float | None = None
    failed: str = ""
    dropped: str = ""
    confirmed: Assessed | None = None
    misses: list[Miss] = field(default_factory=list)

    @property
    def key(self) -> str:
        return self.candidate.key

    @property
    def has_raced(self) -> bool:
        return self.seconds is not None

    @property
    def can_win(self) -> bool:
        return self.has_raced and not (self.failed or self.misses)


def misses_of(limits: Limits, *, drop: float | None, memory: float | None, latency: float | None) -> list[Miss]:
    """Each limit that is not met; None of a value: not judged. A drop's ratio counts from a tenth of a point, so that a limit of 0 has one."""
    found = []
    if drop is not None and drop > limits.drop:
        ratio_of_drop = (max(drop, 0.001) + 1e-9) / max(limits.drop, 0.001)
        found.append(Miss(f"loses {100 * drop:.2f} mIoU points, at most {100 * limits.drop:.4g} allowed", ratio_of_drop))
    if limits.memory is not None and memory is not None and memory > limits.memory:
        found.append(Miss(f"takes {memory / 1e6:.0f} MB, at most {limits.memory / 1e6:.0f} allowed", memory / limits.memory))
    if limits.latency is not None and latency is not None and latency > limits.latency:
        found.append(Miss(f"takes {1e3 * latency:.3g} ms, at most {1e3 * limits.latency:.3g} allowed", latency / limits.latency))
    return found


def unmeasured(limits: Limits, *, memory: float | None, latency: float | None) -> str:
    """Why a candidate that ran can't be said to meet the limits, "" where it can."""
    if limits.memory is not None and memory is None:
        return f"its memory could not be measured, and at most {limits.memory / 1e6:.0f} MB are allowed"
    if limits.latency is not None and latency is None:
        return f"its latency could not be measured, and at most {1e3 * limits.latency:.3g} ms are allowed"
    return ""


def doubts_of(limits: Limits, seen: Assessed) -> list[str]:
    """Limits that the measured value meets while its interval reaches beyond."""
    found = []
    if seen.drop_bounds and seen.drop_bounds[1] > limits.drop:
        found.append(f"the interval of its mIoU drop reaches {100 * seen.drop_bounds[1]:.2f} points: more --tiles tell")
    if limits.latency is not None and seen.latency_bounds and seen.latency_bounds[1] > limits.latency:
        found.append(f"the interval of its latency reaches {1e3 * seen.latency_bounds[1]:.3g} ms: a quiet machine tells")
    return found


def against(rounds: Sequence[Round], name: str, other: str, start: str) -> Ratio:
    """How two compare: in the rounds that both ran in, or, where they are too few, both against the start, which is wider."""
    seen = ratio(rounds, name, other)
    if seen.rounds >= LOOKS[0]:
        return seen
    own, its = ratio(rounds, name, start), ratio(rounds, other, start)
    return Ratio(own.middle / its.middle, own.low / its.high if its.high else 0.0, own.high / its.low if its.low else float("inf"), min(own.rounds, its.rounds))


def leader_of(entries: Sequence[Entry], rounds: Sequence[Round], start: str) -> Entry | None:
    """The one that can win with the least cost: by its median against the start, then by meeting the others itself. None where none can win."""
    able = [entry for entry in entries if entry.can_win]
    if not able:
        return None
    return _unbeaten(min(able, key=lambda entry: ratio(rounds, entry.key, start).middle), able, rounds)


def _unbeaten(best: Entry, able: Sequence[Entry], rounds: Sequence[Round]) -> Entry:
    """`best`, or who beats it in enough shared rounds, and so on; nobody twice."""
    left = [entry for entry in able if entry is not best and ratio(rounds, entry.key, best.key).rounds >= LOOKS[0]]
    challenger = min(left, key=lambda entry: ratio(rounds, entry.key, best.key).middle, default=None)
    if challenger is None or ratio(rounds, challenger.key, best.key).middle >= 1:
        return best
    return _unbeaten(challenger, [entry for entry in able if entry is not best], rounds)


def tied(entries: Sequence[Entry], rounds: Sequence[Round], leader: Entry, start: str) -> list[Entry]:
    """The leader and all that are not surely slower."""
    return [entry for entry in entries if entry.can_win and (entry is leader or not is_slower(against(rounds, entry.key, leader.key, start)))]


def simplest(entries: Sequence[Entry], rounds: Sequence[Round], leader: Entry, start: str) -> tuple[Entry, dict[str, str]]:
    """The simplest of those that tie with the leader and are close to it, and for each other one by its key what decided against it."""
    far = [entry for entry in entries if entry is not leader and against(rounds, entry.key, leader.key, start).middle > CLOSE]
    left, why = [entry for entry in entries if entry not in far], {entry.key: "the better median" for entry in far}
    least = min((entry.memory for entry in left if entry.memory is not None), default=0.0)
    rules: tuple[tuple[str, Callable[[Entry], Any]], ...] = (
        ("less memory", lambda entry: (entry.memory or 0.0) > SAME_MEMORY * least),
        ("fewer threads", lambda entry: entry.candidate.threads),
        ("the higher precision", lambda entry: _precision(entry.candidate)),
        ("fewer changed options", lambda entry: len(entry.candidate.options)),
        ("the smaller batch", lambda entry: entry.candidate.batch),
        ("a little less time, within noise", lambda entry: ratio(rounds, entry.key, start).middle),
    )
    for rule, value in rules:
        best = min(value(entry) for entry in left)
        why |= {entry.key: rule for entry in left if value(entry) != best}
        left = [entry for entry in left if value(entry) == best]
    return left[0], why


def _precision(candidate: Candidate) -> int:
    return PRECISIONS.get(candidate.plan.artifact.precision.partition("-")[0], 2)
