"""Heats: candidates raced a few at a time beside the start and the leader, as many as fit into memory."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence

import psutil

from harness.core.errors import HarnessError, MeasurementError
from harness.core.specs import Value
from harness.support.clock import wall_clock
from harness.support.gpu import gpu_memory
from harness.tuning.assessing import Setting
from harness.tuning.candidates import Candidate
from harness.tuning.choice import Entry, Limits, misses_of
from harness.tuning.race import race
from harness.tuning.workers import Worker

#: Arms of a heat, start and leader counted; they may take this share of the device's memory.
MOST_ARMS, MEMORY_SHARE = 6, 0.6
#: A heat ends at the first look after this, or after what is left of the budget.
HEAT_SECONDS = 180.0


class Heat(Value):
    """What one heat gave, by candidate key; it is what the journal keeps."""

    rounds: list[dict[str, float]] = []
    failed: dict[str, str] = {}
    dropped: dict[str, str] = {}
    memory: dict[str, float] = {}


def memory_of(device: str) -> float:
    """Bytes that the machine has, or its GPU: none where that is not known, so that candidates race one at a time."""
    if device == "cpu":
        return float(psutil.virtual_memory().total)
    found = gpu_memory()
    return 0.0 if isinstance(found, str) else float(found)


def groups(entries: Sequence[Entry], beside: Sequence[Entry], memory: float) -> Iterator[list[Entry]]:
    """Cut into groups that fit beside the start and the leader into a share of `memory`; one candidate at least."""
    room = MEMORY_SHARE * memory - sum(map(_expected, beside))
    group: list[Entry] = []
    for entry in entries:
        is_full = len(group) + len(beside) >= MOST_ARMS or sum(map(_expected, group)) + _expected(entry) > room
        if group and is_full:
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _expected(entry: Entry) -> float:
    """Bytes that a candidate may take: what its artifact took alone, times the batch."""
    return (entry.assessed.memory or 0.0) * entry.candidate.batch


def run_heat(setting: Setting, entries: Sequence[Entry], start: Candidate, limits: Limits, *, seconds: float, timeout: float) -> Heat:
    """Open each candidate in a process of its own, leave out what takes too much memory, and race the rest for about `seconds`.

    Raises MeasurementError where the start itself fails.
    """
    failed: dict[str, str] = {}
    memory: dict[str, float] = {}
    quantity = "peak_device_memory" if setting.device == "cuda" else "peak_host_memory"
    with contextlib.ExitStack() as stack:
        arms = {}
        for candidate in [start, *(entry.candidate for entry in entries)]:
            try:
                worker = Worker(setting.job(candidate, "race", timeout=timeout))
            except HarnessError as error:
                if candidate is start:
                    raise MeasurementError(f"{start.label}, which all are compared with, failed: {error.message}", "harness profile shows more") from error
                failed[candidate.key] = error.message
                continue
            stack.callback(shutil.rmtree, setting.folder(candidate, "race"), ignore_errors=True)
            stack.callback(worker.close)
            if quantity in worker.memory:
                memory[candidate.key] = worker.memory[quantity]
            if candidate is start or not misses_of(limits, drop=None, memory=memory.get(candidate.key), latency=None):
                arms[candidate.key] = worker.visit
            else:
                worker.close()
        if len(arms) < 2:
            return Heat(failed=failed, memory=memory)
        tiles = {candidate.key: candidate.batch for candidate in [start, *(entry.candidate for entry in entries)]}
        found = race(arms, tiles, start=start.key, clock=wall_clock, max_seconds=seconds)
    return Heat(rounds=[dict(one) for one in found.rounds], failed={**failed, **found.failed}, dropped=found.dropped, memory=memory)
