"""The stage `tune`: search, choose, and write the winner's profile."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

import harness
from harness.core.artifact import Artifact, read_subject
from harness.core.errors import ConfigError, DataError, UnavailableError
from harness.core.files import sha256_of_file
from harness.core.leftovers import marked, sweep
from harness.core.registry import BACKENDS, DATASETS
from harness.core.specs import Value
from harness.profiling.environment import available_cores, environment
from harness.profiling.plan import REFERENCE, CellPlan, home_of
from harness.stages import Progress, data_of, silent
from harness.support.clock import SPINNING
from harness.tuning.assessing import Setting
from harness.tuning.candidates import Candidate, runtimes_here, wanted_of
from harness.tuning.choice import Limits, doubts_of
from harness.tuning.journal import Journal
from harness.tuning.result import Tuned, nearest_misses, rows_of
from harness.tuning.search import Search
from harness.tuning.winner import profile_of, write_profile


class Asked(Value):
    """What is searched. `threads` (): one, and all cores. Latency is that of one batch size; throughput compares several."""

    goal: Literal["latency", "throughput"] = "latency"
    limits: Limits = Limits(drop=0.005)
    threads: tuple[int, ...] = ()
    batches: tuple[int, ...] = (1,)
    runtimes: tuple[str, ...] = ()
    device: Literal["cpu", "cuda"] = "cpu"
    data: str | None = None
    split: Literal["train", "val", "test"] = "val"
    tiles: int | None = Field(64, ge=1)

    @field_validator("threads", "batches")
    @classmethod
    def _sorted(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(values)))


def journal_path(out: Path) -> Path:
    """Where the finished measurements of a search lie."""
    return out.with_suffix(".tune.jsonl")


def tune(
    subject: Path,
    asked: Asked,
    *,
    out: Path,
    seconds: float,
    root: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Tuned:
    """Search for at most about `seconds`, write the winner's profile to `out`, and go on with what an earlier run left in the journal.

    Raises ConfigError or DataError for what can't be searched, UnavailableError without PyTorch, MeasurementError where the start fails.
    """
    if out.suffix not in {".yaml", ".yml"}:
        raise ConfigError(f"a profile is a .yaml file, got {out}", f"--out {out}.yaml")
    if out.is_dir():
        raise ConfigError(f"{out} is a folder, and a profile is a file", f"--out {out}/winner.yaml")
    asked = _complete(asked)
    start = _start_of(subject, asked)
    runtimes, left_out = runtimes_here(asked.runtimes or None, asked.device)
    wanted, unsupported = wanted_of(subject, runtimes, asked.device)
    sweep([Path(tempfile.gettempdir())])
    setting = _setting(start.plan.artifact, asked, root, Path(tempfile.mkdtemp(prefix=marked("harness-tune-"))))
    try:
        with contextlib.closing(Journal(journal_path(out), _settings(subject, start, asked, setting), force=force)) as journal:
            search = Search(setting, asked.limits, start, journal, seconds, progress, asked.data, root)
            search.score(wanted, (asked.threads, asked.batches))
            search.run(start_may_win=any((cell.backend, cell.folder) == (start.plan.backend, start.plan.folder) for cell in wanted))
            choice = search.choose()
    finally:
        shutil.rmtree(setting.work, ignore_errors=True)
    rows, chosen = rows_of(search, choice), choice.winner
    machine = environment(max(asked.threads)).machine
    notes = [*([f"measured anew: {journal.anew}"] if journal.anew else []), *left_out, *unsupported]
    if chosen is not None:
        notes += doubts_of(asked.limits, chosen.confirmed or chosen.assessed)
        purpose = (
            f"The fastest of {sum(row.speedup is not None for row in rows)} that harness tune raced on {machine}, goal {asked.goal}, against {start.label}"
        )
        write_profile(out, profile_of(chosen.candidate, setting, asked.limits, name=out.stem, purpose=purpose))
    elif out.exists():
        notes.append(f"{out} is the answer of an earlier search, not of this one")
    return Tuned(
        subject=str(subject),
        start=start.label,
        goal=asked.goal,
        machine=machine,
        winner=next((row for row in rows if row.status == "winner"), None),
        rows=tuple(rows),
        nearest=tuple(nearest_misses(search)) if chosen is None else (),
        notes=tuple(notes),
        profile=out if chosen is not None else None,
        artifact=chosen.candidate.plan.folder if chosen is not None else None,
        journal=journal_path(out),
        resumed=journal.resumed,
        seconds=search.spent(),
    )


def _complete(asked: Asked) -> Asked:
    """With threads filled in. Raises ConfigError for several batches where only one has a latency, or more threads than cores."""
    cores = available_cores()
    if asked.goal == "latency" and len(asked.batches) > 1:
        raise ConfigError(f"latency is that of one batch size, got {', '.join(map(str, asked.batches))}", "--goal throughput compares batches")
    if asked.threads and asked.threads[-1] > cores:
        raise ConfigError(f"{asked.threads[-1]} threads asked for, this process may use {cores} cores", f"--threads {cores}")
    return asked.model_copy(update={"threads": asked.threads or tuple(sorted({1, cores}))})


def _start_of(subject: Path, asked: Asked) -> Candidate:
    """The trained network on PyTorch, which all are compared with. Raises ConfigError where it is not at hand, UnavailableError without PyTorch."""
    artifact = read_subject(subject)
    folder = subject.resolve()
    home = folder if artifact.format == "checkpoint" else home_of(CellPlan(folder, artifact, ""))
    if home is None:
        raise ConfigError(f"the checkpoint of {subject} is not two folders above it, and all are compared with it", "harness tune CHECKPOINT")
    reason = BACKENDS.load(REFERENCE).unavailable(asked.device)
    if reason:
        raise UnavailableError(f"all are compared with the network on PyTorch: {reason}", "harness doctor")
    return Candidate(CellPlan(home, read_subject(home), REFERENCE), asked.threads[-1], asked.batches[0])


def _setting(artifact: Artifact, asked: Asked, root: Path | None, work: Path) -> Setting:
    """Where the tiles are. Raises DataError without a prepared data set: what is lost in accuracy would not be known."""
    name, folder = data_of(artifact, asked.data, root)
    if name is None or folder is None or not (folder / "index.json").is_file():
        raise DataError(f"no tiles of {name or 'a data set'} to judge accuracy by", f"harness data prepare {name or 'NAME'}; then --data NAME")
    count = len(DATASETS.load(name).open(folder, asked.split))
    if count < asked.batches[-1]:
        raise DataError(f"the {asked.split} split of {name} has {count} tiles, fewer than a batch of {asked.batches[-1]}", "--batches 1")
    return Setting(dataset=name, root=folder, split=asked.split, tiles=asked.tiles, device=asked.device, work=work)


def _settings(subject: Path, start: Candidate, asked: Asked, setting: Setting) -> Mapping[str, Any]:
    """What makes an older journal's figures those of another question."""
    own = read_subject(subject)
    return {
        "harness": harness.__version__,
        "machine": environment(asked.threads[-1]).fingerprint,
        "checkpoint": start.plan.artifact.checkpoint_sha256,
        "artifact": own.identity,
        "tiles": sha256_of_file(setting.root / "index.json"),
        "seconds of rest between arms": SPINNING,
        **{f"--{name}": value for name, value in asked.model_dump(mode="json").items()},
    }
