"""`harness tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from harness.cli.output import next_command, progress, remark, result
from harness.core.errors import ConfigError

if TYPE_CHECKING:
    from harness.results.units import Dimension
    from harness.tuning.result import Tuned
    from harness.tuning.stage import Asked

NONE_FITS = 1
#: As `timeout` has it: no answer yet.
UNFINISHED = 124


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness tune runs/unet+unet--synthetic--scratch--seed0 --max-miou-drop 0.005 --max-memory 1GB --budget 10m")
    def tune(
        subject: Path = typer.Argument(help="A checkpoint folder, whose missing exports are made, or an artifact folder under one."),
        max_miou_drop: float = typer.Option(0.005, "--max-miou-drop", min=0, max=1, help="mIoU that may be lost against the network on PyTorch."),
        max_memory: str | None = typer.Option(None, "--max-memory", help="Peak memory of the device that runs the model, as 1GB."),
        max_latency: str | None = typer.Option(None, "--max-latency", help="On the median of one call, as 50ms."),
        goal: str = typer.Option("latency", "--goal", help="latency: least time of a call. throughput: least time of a tile, over --batches."),
        batches: str = typer.Option("1", "--batches", help="Comma-separated batch sizes; several with --goal throughput."),
        threads: str | None = typer.Option(None, "--threads", help="Comma-separated (default: 1 and all cores)."),
        runtimes: str | None = typer.Option(None, "--runtimes", help="Comma-separated (default: all that `harness profile` would run here)."),
        device: str = typer.Option("cpu", "--device", help="cpu or cuda."),
        data: str | None = typer.Option(None, "--data", help="Data set to score on (default: the one it was trained on)."),
        root: Path | None = typer.Option(None, "--root", help="Folder of all data sets."),
        split: str = typer.Option("val", "--split", help="Split to score on; keep test for the figure that you report."),
        tiles: int = typer.Option(64, "--tiles", min=1, help="At most so many tiles of the split."),
        budget: str = typer.Option("10m", "--budget", help="Time to search, as 10m or 2h; a step that has begun is finished."),
        out: Path = typer.Option(Path("winner.yaml"), "--out", help="The winner's profile; what was measured lies beside it as .tune.jsonl."),
        force: bool = typer.Option(False, "--force", help="Measure anew what an earlier run has measured."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Find the fastest artifact, runtime and settings for this machine within limits.

        Exit code 1 where nothing fits, 124 where the budget was too short to tell.
        """
        from harness.tuning.choice import Limits
        from harness.tuning.render import lines_of
        from harness.tuning.stage import tune as search

        limits = Limits(drop=max_miou_drop, memory=_limit("--max-memory", max_memory, "bytes"), latency=_limit("--max-latency", max_latency, "time"))
        asked = _asked(
            goal=goal,
            limits=limits,
            threads=_numbers("--threads", threads),
            batches=_numbers("--batches", batches),
            runtimes=tuple(runtimes.split(",")) if runtimes else (),
            device=device,
            data=data,
            split=split,
            tiles=tiles,
        )
        with progress("tune") as report:
            found = search(subject, asked, out=out, seconds=_seconds(budget), root=root, force=force, progress=report)
        result(found.as_object(), json, lines_of(found))
        _say_next(found, data=data, root=root)


def _say_next(found: Tuned, **place: Any) -> None:
    for note in found.notes:
        remark(f"note: {note}")
    if found.resumed:
        remark(f"{found.resumed} steps were known from {found.journal}; --force measures anew")
    if found.is_unfinished:
        written = f"{found.profile} is that of the best so far" if found.profile else "no profile was written"
        remark(f"the budget was over, and {written}; what was measured is in {found.journal}: run again, or with a larger --budget")
        raise typer.Exit(UNFINISHED)
    if found.winner is None or found.profile is None:
        remark(f"nothing fits, and no profile was written; what was measured is in {found.journal}")
        raise typer.Exit(NONE_FITS)
    remark(f"{found.profile}")
    next_command("harness profile", found.artifact, profile=found.profile, **place)


def _asked(**given: Any) -> Asked:
    """Raises ConfigError naming the flag whose value does not fit."""
    import pydantic

    from harness.core.files import first_problem
    from harness.tuning.stage import Asked

    try:
        return Asked(**given)
    except pydantic.ValidationError as error:
        raise ConfigError(f"--{first_problem(error)}", "harness tune --help") from error


def _numbers(flag: str, text: str | None) -> tuple[int, ...]:
    words = text.split(",") if text is not None else []
    numbers = tuple(int(word) for word in words if word.strip().isascii() and word.strip().isdigit())
    if len(numbers) != len(words) or 0 in numbers:
        raise ConfigError(f"{flag} is whole numbers of at least 1 with commas, got {text!r}", f"{flag} 1,2")
    return numbers


def _limit(flag: str, text: str | None, dimension: Dimension) -> float | None:
    from harness.results.amounts import limit_from

    return None if text is None else limit_from(flag, text, dimension)


def _seconds(text: str) -> float:
    """A budget; m is minutes here, as people type it."""
    from harness.results.amounts import amount

    plain = text.strip()
    if plain.replace(".", "", 1).isdigit():
        raise ConfigError(f"a budget needs a unit, got {text!r}", f"--budget {plain}s, or {plain}m for minutes")
    seconds = amount(f"{plain}in" if plain[-1:] == "m" else plain, "time")
    if seconds <= 0:
        raise ConfigError(f"a budget is more than 0 seconds, got {text!r}", "--budget 10m")
    return seconds
