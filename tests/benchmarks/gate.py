"""The regression gate against three common rules on the same samples: false alarms on equal code, and slowdowns that are found.

Two sources of noise. `model`: tests/machine_model.py, skewed, autocorrelated, drifting, on its own clock. `recorded`: calls of a small
ONNX model in ONNX Runtime, recorded here, now, in the order of our rounds, with what else the machine did; a slowdown is planted
by multiplying the candidate's samples. Every check gets a stretch of the recording of its own. Memory is checked with simulated repeats and, fewer
times, with real processes.

The other rules see the same calls as sequences per arm, as they would run them (the baseline's first, then the candidate's; for `recorded`
the first half of the stretch gives the baseline, the second the candidate):
asv (its `continuous`): factor 1.1 of the medians, and Mann-Whitney U with p < 0.002 (asv's `_is_result_different`).
pytest-benchmark `--benchmark-compare-fail=min:5%`: the candidate's fastest call more than 5 % above the baseline's.
fixed: the candidate's median more than 5 % above the baseline's.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from harness.core.deployment import read_profile
from harness.core.tolerance import Tolerance
from harness.gate import Effort, plans_of
from harness.gate.bench import NO_REFERENCE, Bench
from harness.profiling.plan import job_of
from harness.profiling.rounds import order_of
from harness.profiling.run import write_examples
from harness.results import regression
from harness.results.regression import Outcome, Round
from harness.support.clock import wall_clock
from harness.support.confusion import confusion, drop_interval, miou
from tests.machine_model import BusyMachine

CHECKS, ROUNDS, CALLS = 100, 60, 10
SLOWDOWNS = (0.03, 0.05, 0.10)
#: Half of the smallest slowdown that must be found.
ALLOWED = Tolerance(0.02, True)
#: Seconds of recording for `recorded`; rounds are cut into checks of RECORDED_ROUNDS.
RECORD_SECONDS = float(os.environ.get("GATE_RECORD_SECONDS", "300"))
RECORDED_ROUNDS = 30

#: Checks with real processes on equal models, and as many on one that holds 5 % more; each takes about 20 s.
REAL_CHECKS = int(os.environ.get("GATE_REAL_CHECKS", "5"))
#: What is allowed to real processes: as in the profile that is used where none is named.
REAL_ALLOWED = Tolerance(0.02, True)

#: Calls by arm: (rounds, visits, calls) seconds.
Arms = dict[str, np.ndarray]


class Stretch(NamedTuple):
    """One measurement: the arms in turns, and one after the other."""

    turns: Arms
    before: np.ndarray
    after: np.ndarray


def measure(folder: Path) -> dict[str, Any]:
    """Shares of 100 checks per source, slowdown and rule that say FAIL, with the gate's other outcomes."""
    return {
        "allowed": ALLOWED.amount,
        "calls_per_visit": CALLS,
        "model": {"rounds": ROUNDS, "checks": CHECKS, "seconds_per_measurement": _model_seconds(), "rows": _rows(_modeled, CHECKS)},
        "recorded": _recorded(folder),
        "memory_growth_of_5_percent_found": _memory(),
        "memory_of_real_processes": _memory_real(folder / "memory"),
        "miou_drop_of_half_a_point_found": _accuracy(),
    }


def _rows(source: Callable[[int, float], Stretch], checks: int) -> list[dict[str, Any]]:
    rows = []
    for slowdown in (0.0, *SLOWDOWNS):
        said = [_rules(lambda attempt, number=number: source(2 * number + attempt, slowdown)) for number in range(checks)]  # noqa: B023
        counts = {f"gate_{outcome.lower()}": sum(one["gate"] is outcome for one in said) for outcome in Outcome}
        others = {name: sum(one[name] for one in said) for name in ("asv", "pytest_benchmark_min_5", "fixed_5")}
        rows.append({"slowdown": slowdown, "checks": checks, **counts, **others, "median_detectable": float(np.median([one["detectable"] for one in said]))})
    return rows


def _rules(take: Callable[[int], Stretch]) -> dict[str, Any]:
    first = take(0)
    change = regression.judged_twice(lambda attempt: _rounds((first if attempt == 0 else take(1)).turns), _judge)
    ratio = float(np.median(first.after) / np.median(first.before))
    different = stats.mannwhitneyu(first.before, first.after, alternative="two-sided").pvalue < 0.002
    return {
        "gate": change.outcome,
        "detectable": change.detectable,
        "asv": bool(ratio > 1.1 and different),
        "pytest_benchmark_min_5": bool(first.after.min() > 1.05 * first.before.min()),
        "fixed_5": ratio > 1.05,
    }


def _judge(rounds: list[Round]) -> regression.Change:
    seen = regression.seen_in_rounds(rounds)
    assert seen is not None
    return regression.judged("latency", ALLOWED, seen)


def _rounds(arms: Arms) -> list[Round]:
    """As harness.profiling.rounds counts them: the geometric mean of the fastest call of each visit."""
    values = {name: np.exp(np.log(calls.min(-1)).mean(-1)) for name, calls in arms.items()}
    return [Round(*map(float, one)) for one in zip(values["baseline"], values["twin"], values["candidate"], strict=True)]


def _modeled(number: int, slowdown: float) -> Stretch:
    """A measurement on a machine of its own seed; then the same number of calls one arm after the other."""
    machine = BusyMachine(1000 * round(1000 * slowdown) + number)
    seconds = (0.005, 0.005, 0.005 * (1 + slowdown))
    turns = _turns([machine.arm(value) for value in seconds], machine.clock, rounds=ROUNDS)
    before, after = ([_one(machine.arm(value), machine.clock) for _ in range(2 * ROUNDS * CALLS)] for value in seconds[1:])
    return Stretch(turns, np.array(before), np.array(after))


def _turns(arms: list[Callable[[], None]], clock: Callable[[], float], *, rounds: int) -> Arms:
    found: dict[int, list[list[list[float]]]] = {index: [] for index in range(3)}
    for number in range(rounds):
        visits: dict[int, list[list[float]]] = {index: [] for index in range(3)}
        for index in order_of(3, number):
            arms[index]()
            visits[index].append([_one(arms[index], clock) for _ in range(CALLS)])
        for index, seen in visits.items():
            found[index].append(seen)
    return {name: np.array(found[index]) for index, name in enumerate(("baseline", "twin", "candidate"))}


def _one(call: Callable[[], None], clock: Callable[[], float]) -> float:
    begin = clock()
    call()
    return clock() - begin


def _model_seconds() -> float:
    machine = BusyMachine(0)
    _turns([machine.arm(0.005)] * 3, machine.clock, rounds=ROUNDS)
    return machine.clock()


def _recorded(folder: Path) -> dict[str, Any]:
    """Real calls: stretches of RECORDED_ROUNDS rounds, two for each check, with the machine's load at both ends."""
    arms = [_session_call(folder) for _ in range(3)]
    load = [os.getloadavg()[0]]
    begin, parts = wall_clock(), []  # type: float, list[Arms]
    while wall_clock() - begin < RECORD_SECONDS:
        parts.append(_turns(arms, wall_clock, rounds=6))
    seconds = wall_clock() - begin
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    load.append(os.getloadavg()[0])
    stretches = list(_stretches(whole))

    def taken(number: int, slowdown: float) -> Stretch:
        one = stretches[number % len(stretches)]
        return Stretch({**one.turns, "candidate": one.turns["candidate"] * (1 + slowdown)}, one.before, one.after * (1 + slowdown))

    checks = max(1, len(stretches) // 2)
    return {
        "rounds": RECORDED_ROUNDS,
        "checks": checks,
        "seconds_per_measurement": seconds * RECORDED_ROUNDS / len(whole["baseline"]),
        "load_average": load,
        "median_call_ms": float(1e3 * np.median(whole["baseline"])),
        "rows": _rows(taken, checks),
    }


def _stretches(whole: Arms) -> Iterator[Stretch]:
    """Cut the recording. Every arm ran the same code, so each of the three may be the candidate: three checks a stretch."""
    count = len(whole["baseline"]) // RECORDED_ROUNDS
    for roles in itertools.islice(itertools.permutations(whole), 0, 6, 2):
        for number in range(count):
            rows = slice(number * RECORDED_ROUNDS, (number + 1) * RECORDED_ROUNDS)
            turns = {role: whole[name][rows] for role, name in zip(("baseline", "twin", "candidate"), roles, strict=True)}
            half = RECORDED_ROUNDS // 2
            yield Stretch(turns, turns["baseline"][:half].ravel(), turns["candidate"][half:].ravel())


def _session_call(folder: Path) -> Callable[[], None]:
    """One synchronous call of a small convolutional network on one thread."""
    import onnxruntime

    path = folder / "small.onnx"
    if not path.is_file():
        _write_small(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).normal(size=(1, 16, 64, 64)).astype(np.float32)

    def call() -> None:
        session.run(None, {"x": image})

    for _ in range(20):
        call()
    return call


def _write_small(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.normal(size=(16, 16, 3, 3)).astype(np.float32), f"w{index}") for index in range(4)]
    names = ["x", "a", "b", "c", "y"]
    nodes = [helper.make_node("Conv", [names[index], f"w{index}"], [names[index + 1]], pads=[1] * 4) for index in range(4)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 64, 64]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "small", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def _accuracy() -> dict[str, int]:
    """mIoU over 30 regions of 16 tiles of 64 x 64 px and 3 classes, 10 % wrong, more in some regions; the candidate errs elsewhere on a tenth of
    what is wrong, and once gets 0.5 points less. 0.25 points are allowed."""
    allowed, found = Tolerance(0.0025, False), {0.0: 0, 0.005: 0}
    for drop in found:
        for seed in range(CHECKS):
            regions = _regions(np.random.default_rng(seed), drop)
            before, after = (miou(np.sum(regions, axis=0)[side], None) for side in (0, 1))
            interval = drop_interval(regions, None)
            assert interval is not None
            seen = regression.Seen(before, after, before - after, interval.low, interval.high, 0.0)
            found[drop] += regression.judged("miou", allowed, seen).outcome is Outcome.FAIL
    return {"equal": found[0.0], "0.5 points less": found[0.005], "of": CHECKS}


def _regions(rng: np.random.Generator, drop: float) -> list[np.ndarray]:
    """Confusion matrices (baseline and candidate, 3, 3) per region. IoU falls by about 1.7 x the share of pixels that become wrong."""
    made = []
    for _ in range(30):
        truth = rng.integers(0, 3, 16 * 64 * 64)
        hard = rng.beta(2, 18)
        old = np.where(rng.random(truth.size) < hard, (truth + 1) % 3, truth)
        flips = rng.random(truth.size) < 0.01
        new = np.where(flips & (old != truth), truth, np.where(rng.random(truth.size) < 0.01 * hard / (1 - hard) + drop / 1.7, (truth + 2) % 3, old))
        made.append(np.stack([confusion(decided, truth, 3, None) for decided in (old, new)]))
    return made


def _memory() -> dict[str, int]:
    """Peak memory with the spread that processes of ONNX Runtime show here (0.3 %), 5 % more and not, of 100 checks with 2 % allowed."""
    rng = np.random.default_rng(0)
    found = {0.0: 0, 0.05: 0}
    for growth, _ in itertools.product(found, range(CHECKS)):
        before, after = (1.5e8 * np.exp(rng.normal(size=6) * 0.003) for _ in range(2))
        seen = regression.seen_in_repeats(before.tolist(), (after * (1 + growth)).tolist())
        found[growth] += seen is not None and regression.judged("peak_host_memory", ALLOWED, seen).outcome is Outcome.FAIL
    return {"equal": found[0.0], "5 % more": found[0.05], "of": CHECKS}


def _memory_real(folder: Path) -> dict[str, Any]:
    """Pairs of fresh processes as `harness check` takes them: equal models, and one whose table of constants is larger by 5 % of the peak."""
    table = 2**25
    peak = np.median([pair["peak_host_memory"][0] for pair in _pairs(folder / "first", table, table)])
    rows = []
    for growth in (0.0, 0.05):
        grown = table + round(growth * peak)
        seen = [_seen_memory(_pairs(folder / f"{growth}-{number}", table, grown)) for number in range(REAL_CHECKS)]
        outcomes = [regression.judged("peak_host_memory", REAL_ALLOWED, one).outcome for one in seen]
        counts = {str(outcome).lower(): sum(one is outcome for one in outcomes) for outcome in Outcome}
        rows.append({"planted": growth, "checks": REAL_CHECKS, **counts, "seen": [one.worse for one in seen], "detectable": [one.detectable for one in seen]})
    return {"allowed": REAL_ALLOWED.amount, "peak_bytes": float(peak), "load_average": os.getloadavg()[0], "rows": rows}


def _seen_memory(pairs: list[dict[str, tuple[float, float]]]) -> regression.Seen:
    before, after = zip(*(pair["peak_host_memory"] for pair in pairs), strict=True)
    seen = regression.seen_in_repeats(before, after)
    assert seen is not None
    return seen


def _pairs(folder: Path, before: int, after: int) -> list[dict[str, tuple[float, float]]]:
    """Peak memory of processes that run a model with a table of so many bytes, baseline and candidate in pairs."""
    settings = read_profile("ci").model_copy(update={"probes": ("memory",)})
    jobs = []
    for name, size in (("before", before), ("after", after)):
        path = folder / name / "m.onnx"
        path.parent.mkdir(parents=True)
        _write_table(path, size)
        (plan,), sized = plans_of(path, settings, ["onnxruntime"])
        job = job_of(plan, sized, 1, None, None, folder / name / "work", no_reference=NO_REFERENCE)
        job.work.mkdir()
        write_examples(job, plan.artifact)
        jobs.append(job)
    return Bench(jobs[0], jobs[1], Effort()).memory()


def _write_table(path: Path, size: int) -> None:
    """The input plus a row of a table of constants that its sum chooses, so that no optimizer folds the table."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rows = max(2, size // (64 * 64 * 4))
    table = np.random.default_rng(0).random((rows, 64, 64), dtype=np.float32)
    constants = [numpy_helper.from_array(value, name) for value, name in ((table, "table"), (np.array(rows, np.int64), "rows"))]
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Abs", ["whole"], ["positive"]),
        helper.make_node("Mod", ["positive", "rows"], ["row"]),
        helper.make_node("Gather", ["table", "row"], ["chosen"], axis=0),
        helper.make_node("Add", ["x", "chosen"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 64, 64]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "table", values[:1], values[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
