"""`python -m tests.benchmarks.runtimes CHECKPOINT ...`: trained checkpoints on every runtime and precision of this CPU, by hand and by `harness tune`.

For each checkpoint, within its share of the budget:
1. `harness tune` searches, and makes what is missing.
2. The hand sweep: every cell (also those that tune never timed) with the runtime's defaults, one process per cell and round; rounds go
   through all cells in turn, so that the machine's drift meets each alike. Ratios are medians over rounds of (torch_eager / cell) of the
   same round, torch_eager with as many threads.
3. The duel: tune's winner and the best of the sweep that loses little enough, in turns in two heats of fresh processes.

Everything finished is in OUT's journals: killed or out of budget, the same command goes on. What can't be made or run here is listed
with its reason. Accuracy is that of the val tiles, so the weights must be trained. What OUT holds of other checkpoints stays there.

`--memory` measures only the memory of what OUT holds of the checkpoints, anew: it needs no quiet machine.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.artifact import Checkpoint, read_checkpoint, read_subject
from harness.core.deployment import read_profile
from harness.core.errors import HarnessError
from harness.core.files import write_atomic
from harness.core.registry import BACKENDS
from harness.profiling.environment import environment
from harness.profiling.plan import REFERENCE, CellPlan
from harness.profiling.run import record_of
from harness.stages import data_of
from harness.support.clock import utc_now, wall_clock
from harness.tuning.assessing import Assessed, Jury, Setting
from harness.tuning.candidates import Candidate, cell_label, variants_of, wanted_of, ways_of
from harness.tuning.choice import Entry, Limits
from harness.tuning.heats import run_heat
from harness.tuning.journal import Journal
from harness.tuning.race import MARGIN, ratio
from harness.tuning.result import Row, Tuned
from harness.tuning.stage import Asked, tune

OUT = Path("bench_results/benchmarks/runtimes.json")
RUNTIMES = ("torch_eager", "torch_compile", "onnxruntime", "openvino", "torch_export")
LIMITS = Limits(drop=0.005)
#: What the issue asks of tune's winner against torch_eager.
SPEEDUP, MEMORY = 2.5, 0.5
MEMORY_TARGET = f"at most {MEMORY:.0%} of its memory"
HEATS = 2
#: What says where files lay, which means nothing elsewhere.
PLACES = ("subject", "profile", "artifact", "journal")
#: Of a checkpoint's seconds for the search; the sweep has the rest, the duel is always fought.
TUNE_SHARE = 0.5


@dataclass
class Bench:
    """One checkpoint's measurements. `until`: when its seconds are over, on `wall_clock`."""

    checkpoint: Path
    facts: Checkpoint
    setting: Setting
    threads: tuple[int, ...]
    rounds: int
    until: float
    journal: Journal
    refused: dict[str, str] = field(default_factory=dict)

    def candidates(self) -> list[Candidate]:
        """Every artifact that is there on every runtime, with each number of threads; torch_eager first."""
        usable = [name for name in RUNTIMES if BACKENDS.load(name).unavailable("cpu") is None]
        wanted, left_out = wanted_of(self.checkpoint, usable, "cpu")
        self.refused |= dict(line.split(": ", 1) for line in left_out)
        self.refused |= {cell.label: "not made: the budget was over, or see tune's rows" for cell in wanted if cell.exporter}
        plans = [CellPlan(cell.folder, read_subject(cell.folder), cell.backend) for cell in wanted if not cell.exporter]
        return [way for plan in plans for way in ways_of(plan, self.threads, (1,))]

    def sweep(self, candidates: Sequence[Candidate]) -> list[dict[str, dict[str, Any]]]:
        """Per round, candidate key to its latency and memory; a round that is not whole is left out."""
        found: list[dict[str, dict[str, Any]]] = []
        for number in range(self.rounds):
            this: dict[str, dict[str, Any]] = {}
            for place, one in enumerate(candidates):
                seen = self._known(f"round {number} {one.key}", lambda one=one: self._quick(one), f"round {number + 1}/{self.rounds}, {place + 1}: {one.label}")
                if seen is None:
                    return found
                this[one.key] = seen
            found.append(this)
        return found

    def accuracy(self, candidates: Sequence[Candidate], start: Candidate, tuned: Tuned) -> dict[str, Assessed]:
        """What each candidate decides, by key: what tune knows, else judged now; it is the same for all threads of an artifact."""
        known = {row.label: Assessed(drop=row.drop, drop_bounds=row.drop_bounds, agreement=row.agreement) for row in tuned.rows if row.drop is not None}
        jury, found = Jury(self.setting, start), {}  # type: Jury, dict[str, Assessed]
        for one in candidates:
            seen = known.get(one.label) or known.get(cell_label(one.plan)) or found.get(_artifact(one))
            if seen is None:
                told = self._known(f"alone {one.key}", lambda one=one: jury.assess(one, timeout=1800).model_dump(mode="json"), f"scoring {one.label}")
                seen = Assessed(**told) if told else Assessed(failed="the budget was over")
            found[one.key] = found[_artifact(one)] = seen
        return found

    def duel(self, winner: Candidate, best: Candidate, start: Candidate) -> list[dict[str, float]]:
        """Rounds of all three in turns, from HEATS heats of fresh processes."""
        rounds: list[dict[str, float]] = []
        for number in range(HEATS):
            arms = [Entry(one, Assessed()) for one in ((winner, best) if number % 2 else (best, winner)) if one.key != start.key]
            key = f"duel {number} {' '.join(sorted(entry.key for entry in arms))}"
            rounds += self._known(key, lambda arms=arms: self._heat(arms, start), f"duel {number + 1}/{HEATS}", must=True) or []
        return rounds

    def _heat(self, arms: list[Entry], start: Candidate) -> list[dict[str, float]]:
        return run_heat(self.setting, arms, start, LIMITS, seconds=600, timeout=1800).rounds

    def _quick(self, one: Candidate) -> dict[str, Any]:
        try:
            record = record_of(self.setting.job(one, "sweep", probes=("latency", "memory"), timeout=1800), one.plan.artifact)
        except HarnessError as error:
            return {"failed": error.message}
        if record.detail["failed"]:
            return {"failed": record.detail["failed"]}
        return {name: measured.value for name in ("latency", "peak_host_memory", "first_call", "load_time") if (measured := record.measured(name))}

    def _known(self, key: str, measure: Any, what: str, *, must: bool = False) -> Any:
        """From the journal, else measured now; None where the budget is over."""
        known = self.journal.get(key)
        if known is None and (must or wall_clock() < self.until):
            say(f"{self.facts.model}: {what} ({max(0, self.until - wall_clock()):.0f} s left)")
            known = measure()
            self.journal.add(key, known)
        return known


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _artifact(one: Candidate) -> str:
    return f"{one.plan.backend} {one.plan.artifact.identity}"


def measure(checkpoint: Path, *, out: Path, root: Path | None, rounds: int, threads: tuple[int, ...], tiles: int, seconds: float) -> dict[str, Any]:
    """Tune's answer, the sweep's rows and the duel of one checkpoint, in about `seconds` of measuring."""
    facts, begin = read_checkpoint(checkpoint), wall_clock()
    name, data = data_of(read_subject(checkpoint), None, root)
    assert name is not None
    assert data is not None
    profile = out.with_suffix("") / f"{checkpoint.name}.yaml"
    asked = Asked(limits=LIMITS, threads=threads, tiles=tiles)
    tuned = tune(checkpoint, asked, out=profile, seconds=TUNE_SHARE * seconds, root=root, progress=_progress(facts.model))
    head = {"machine": environment(threads[-1]).fingerprint, "checkpoint": facts.sha256, "tiles": tiles, "threads": threads}
    with tempfile.TemporaryDirectory(prefix="harness-runtimes-") as work:
        setting = Setting(dataset=name, root=data, split="val", tiles=tiles, device="cpu", work=Path(work))
        bench = Bench(checkpoint, facts, setting, threads, rounds, begin + seconds, Journal(profile.with_suffix(".sweep.jsonl"), head))
        answer = {"model": facts.model, "checkpoint": facts.sha256, "threads": threads, **_answer(bench, tuned)}
    answer["seconds"] = wall_clock() - begin
    return answer


def with_memory(checkpoint: Path, before: dict[str, Any], *, root: Path | None) -> dict[str, Any]:
    """What was found of a checkpoint, with its memory measured now; None for a cell that can't be run here any more."""
    facts, begin = read_checkpoint(checkpoint), wall_clock()
    name, data = data_of(read_subject(checkpoint), None, root)
    assert name is not None
    assert data is not None
    threads = tuple(before["threads"])
    with tempfile.TemporaryDirectory(prefix="harness-runtimes-") as work:
        setting = Setting(dataset=name, root=data, split="val", tiles=None, device="cpu", work=Path(work))
        bench = Bench(checkpoint, facts, setting, threads, 0, begin, Journal(Path(work) / "journal.jsonl", {}))
        plain = bench.candidates()
        known = {one.label: one for one in [*plain, *(other for one in plain for other in variants_of(one, "cpu"))]}

        @functools.cache
        def memory(label: str) -> float | None:
            say(f"{facts.model}: memory of {label}")
            return _memory_of(setting, known[label]) if label in known else None

        rows = [{**row, "memory": memory(row["cell"]), "memory_share": _share(memory(row["cell"]), memory(_start_of(before, row)))} for row in before["rows"]]
        duel = before["duel"] and {**before["duel"], "memory_share": _share(memory(before["duel"]["winner"]), memory(before["duel"]["eager"]))}
    if duel:
        duel["targets"] = {**duel["targets"], MEMORY_TARGET: duel["memory_share"] is not None and duel["memory_share"] <= MEMORY}
    return {**before, "rows": rows, "duel": duel, "memory_measured": utc_now()}


def _memory_of(setting: Setting, one: Candidate) -> float | None:
    record = record_of(setting.job(one, "memory", probes=("memory",), timeout=900), one.plan.artifact)
    seen = record.measured("peak_host_memory")
    return seen.value if seen else None


def _share(own: float | None, eager: float | None) -> float | None:
    return own / eager if own is not None and eager is not None else None


def _start_of(before: dict[str, Any], row: dict[str, Any]) -> str:
    """The label of the torch_eager row with as many threads."""
    threads = row["cell"].rpartition(", batch")[0].rpartition(", ")[2]
    return next(str(other["cell"]) for other in before["rows"] if other["cell"].startswith(f"{REFERENCE} ") and f", {threads}," in other["cell"])


def _answer(bench: Bench, tuned: Tuned) -> dict[str, Any]:
    candidates = bench.candidates()
    starts = [one for one in candidates if one.plan.backend == REFERENCE]
    decided, swept = bench.accuracy(candidates, starts[0], tuned), bench.sweep(candidates)
    bench.refused |= {one.label: seen["failed"] for seen_in in swept[:1] for one in candidates if "failed" in (seen := seen_in[one.key])}
    rows = list(_rows(candidates, starts, decided, swept))
    searched = {name: value for name, value in tuned.as_object().items() if name not in PLACES}
    found = {"rounds": len(swept), "rows": rows, "refused": bench.refused, "tune": searched, "duel": None}
    fitting = [row for row in rows if row["miou_drop"] is not None and row["miou_drop"] <= LIMITS.drop]
    if tuned.winner is None or tuned.artifact is None or not fitting:
        return found
    best = min(fitting, key=lambda row: statistics.median(row["latency_s"]))
    chosen = next(one for one in candidates if one.label == best["cell"])
    winner = _winner(tuned, tuned.artifact)
    eager = min(starts, key=lambda one: statistics.median([one_round[one.key]["latency"] for one_round in swept]))
    fought = bench.duel(winner, chosen, eager)
    memory = statistics.median(one_round[eager.key]["peak_host_memory"] for one_round in swept)
    return found | {"duel": _duel(fought, (winner, chosen, eager), tuned.winner, memory) if fought else None}


def _winner(tuned: Tuned, folder: Path) -> Candidate:
    profile = read_profile(str(tuned.profile))
    plan = CellPlan(folder, read_subject(folder), str(profile.runtime.backend))
    defaults = BACKENDS.load(plan.backend).settings({})
    changed = {name: value for name, value in profile.runtime.options.items() if defaults[name] != value}
    return Candidate(plan, int(profile.runtime.threads or 1), profile.input.batch, changed)


def _rows(
    candidates: Sequence[Candidate], starts: Sequence[Candidate], decided: dict[str, Assessed], swept: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """A row per candidate that ran in every round."""
    for one in candidates:
        start = next(other for other in starts if other.threads == one.threads)
        pairs = [(each[start.key], each[one.key]) for each in swept if "latency" in each[one.key]]
        if not pairs or len(pairs) < len(swept):
            continue
        seen = decided[one.key]
        yield {
            "cell": one.label,
            "latency_s": [own["latency"] for _, own in pairs],
            "speedup": statistics.median(eager["latency"] / own["latency"] for eager, own in pairs),
            "memory": statistics.median(own["peak_host_memory"] for _, own in pairs),
            "memory_share": statistics.median(own["peak_host_memory"] / eager["peak_host_memory"] for eager, own in pairs),
            **{name: statistics.median(own[name] for _, own in pairs) for name in ("first_call", "load_time")},
            "miou_drop": seen.drop,
            "miou_drop_bounds": seen.drop_bounds,
            "argmax_agreement": seen.agreement,
        }


def _duel(rounds: list[dict[str, float]], arms: tuple[Candidate, Candidate, Candidate], seen: Row, eager_memory: float) -> dict[str, Any]:
    """Tune's winner against the faster torch_eager and against the best of the sweep; ratios with 98.3 % intervals."""
    winner, best, eager = arms
    own, its = ratio(rounds, winner.key, eager.key), ratio(rounds, winner.key, best.key)
    share, drop = (seen.memory or 0.0) / eager_memory, seen.drop or 0.0
    return {
        "winner": winner.label,
        "best_of_sweep": best.label,
        "eager": eager.label,
        "speedup": [1 / own.middle, 1 / own.high if own.high else 0.0, 1 / own.low if own.low else None],
        "winner_over_best": [its.middle, its.low, its.high] if winner.key != best.key else [1.0, 1.0, 1.0],
        "memory_share": share,
        "miou_drop": drop,
        "targets": {
            f"at least {SPEEDUP} x faster than torch_eager": 1 / own.middle >= SPEEDUP,
            MEMORY_TARGET: share <= MEMORY,
            f"at most {100 * LIMITS.drop:g} mIoU points lost": drop <= LIMITS.drop,
            "no slower than the best of the sweep": winner.key == best.key or its.low <= 1 + MARGIN,
        },
    }


def _progress(model: str) -> Any:
    said: set[str] = set()

    def show(done: int, total: int, what: str) -> None:
        if what not in said:
            said.add(what)
            say(f"{model}: tune [{done}/{total}] {what}")

    return show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", default="1,2", help="comma-separated")
    parser.add_argument("--tiles", type=int, default=64)
    parser.add_argument("--budget", type=float, default=3600, help="seconds for all checkpoints together")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--memory", action="store_true", help="only the memory of what OUT holds, anew")
    chosen = parser.parse_args()
    threads = tuple(sorted({int(word) for word in chosen.threads.split(",")}))
    before = json.loads(chosen.out.read_text())["models"] if chosen.out.is_file() else []
    found, begin = {one["checkpoint"]: one for one in before}, wall_clock()
    for place, checkpoint in enumerate(chosen.checkpoints):
        if chosen.memory:
            sha256 = read_checkpoint(checkpoint).sha256
            found[sha256] = with_memory(checkpoint, found[sha256], root=chosen.root)
            _write(chosen.out, threads, found)
            continue
        seconds = max(chosen.budget - (wall_clock() - begin), 0) / (len(chosen.checkpoints) - place)
        say(f"{checkpoint}: {seconds:.0f} s")
        one = measure(checkpoint, out=chosen.out, root=chosen.root, rounds=chosen.rounds, threads=threads, tiles=chosen.tiles, seconds=seconds)
        found[one["checkpoint"]] = one | {"created": utc_now()}
        _write(chosen.out, threads, found)
        say(json.dumps(one["duel"], indent=1))


def _write(out: Path, threads: tuple[int, ...], found: dict[str, dict[str, Any]]) -> None:
    answer = {"created": utc_now(), "environment": environment(threads[-1]).model_dump(mode="json"), "models": list(found.values())}
    write_atomic(out, json.dumps(answer, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
