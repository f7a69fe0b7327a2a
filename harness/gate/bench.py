"""What a check measures: latency in turns, memory in pairs of processes, and what both models decide."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import MeasurementError
from harness.core.registry import DATASETS
from harness.core.tolerance import Tolerance
from harness.profiling import paired
from harness.profiling.decisions import Decisions, compare_decisions
from harness.profiling.job import Job
from harness.results import regression
from harness.results.regression import Round
from harness.support.clock import wall_clock

NO_REFERENCE = "a check compares with the baseline, not with the checkpoint"


@dataclass(frozen=True)
class Effort:
    """How long a check tries. Latency: processes of `rounds` rounds until it can tell half the tolerance, or `max_seconds` are over."""

    rounds: int = 20
    min_processes: int = 3
    max_processes: int = 12
    visit_seconds: float = 0.05
    max_seconds: float = 120.0
    memory_pairs: int = 6


@dataclass(frozen=True)
class Bench:
    """The jobs of both sides and what is allowed."""

    before: Job
    after: Job
    effort: Effort

    def rounds(self, tolerance: Tolerance, attempt: int = 0) -> list[Round]:
        """Rounds of at least `min_processes` fresh processes."""
        begin, found, effort = wall_clock(), [], self.effort  # type: float, list[Round], Effort
        for number in range(effort.max_processes):
            left = effort.max_seconds - (wall_clock() - begin)
            if number >= effort.min_processes and (left <= 0 or _is_sharp(found, tolerance)):
                break
            share = max(left, 0) / max(1, effort.min_processes - number)
            pair = paired.Pair(
                baseline=self.before, rounds=effort.rounds, visit_seconds=effort.visit_seconds, max_seconds=share, candidate_first=bool(number % 2)
            )
            found += [Round(*one) for one in paired.latency_rounds(self.after, pair)]
        return found

    def memory(self, attempt: int = 0) -> list[dict[str, tuple[float, float]]]:
        """One dictionary per pair of fresh processes: quantity to (baseline, candidate)."""
        with tempfile.TemporaryDirectory(dir=self.after.work) as folder:
            return paired.memory_pairs(self.after, self.before, pairs=self.effort.memory_pairs, work=Path(folder))


def _is_sharp(rounds: list[Round], tolerance: Tolerance) -> bool:
    """Whether half the tolerance could be told. Only the noise is asked, never the result, so that looking often costs no certainty."""
    seen = regression.seen_in_rounds(rounds)
    return seen is not None and tolerance.is_relative and seen.detectable <= tolerance.amount / 2


def decisions_of(bench: Bench) -> Decisions | str:
    """What both decide on the tiles, or why that can't be compared."""
    job, other = bench.after, bench.before
    if job.dataset is None or job.data_root is None:
        return "no data set to score on"
    if not (job.outputs_folder.is_dir() and other.outputs_folder.is_dir()):
        return "accuracy is not among the profile's probes, or a model failed on the tiles"
    spec = DATASETS.load(job.dataset)
    source = spec.open(job.data_root, job.profile.split)
    count = min(len(source), job.profile.max_tiles or len(source))
    try:
        return compare_decisions((source[index] for index in range(count)), other.outputs_folder, job.outputs_folder, len(spec.classes), spec.ignore_index)
    except MeasurementError as error:
        return error.message
