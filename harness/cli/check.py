"""`harness check`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from harness.cli.output import progress, remark, result
from harness.core.errors import ConfigError

if TYPE_CHECKING:
    from harness.results.check_result import Checked

BASELINES = Path("bench_results/baselines")
FAILED = 1


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness check new/artifacts/onnx-fp32 --against old/artifacts/onnx-fp32 --profile ci --markdown summary.md")
    def check(
        subject: Path = typer.Argument(help="The candidate: an artifact folder, a checkpoint folder, or any .onnx or .pt2 file."),
        against: Path | None = typer.Option(None, "--against", help="Baseline artifact; both are measured here in turns, which holds on noisy machines."),
        against_record: str | None = typer.Option(None, "--against-record", help="Record's file of this very machine, or `accepted`: the accepted baseline."),
        profile: str = typer.Option("ci", "--profile", help="A profile's YAML file, or the name of a shipped one; its `regression` says what is allowed."),
        backends: str | None = typer.Option(None, "--backends", help="Comma-separated; default: all that can run both here."),
        data: str | None = typer.Option(None, "--data", help="Data set to score on (default: the one it was trained on)."),
        root: Path | None = typer.Option(None, "--root", help="Folder of all data sets."),
        max_seconds: float = typer.Option(120.0, "--max-seconds", min=1.0, help="For one measurement of latency; a second one may follow."),
        strict: bool = typer.Option(False, "--strict", help="Exit code 1 also where it is INCONCLUSIVE."),
        accept: bool = typer.Option(False, "--accept", help="Whatever comes out, make the candidate's record the accepted baseline; needs --reason."),
        reason: str = typer.Option("", "--reason", help="Why the baseline moves; kept in the log with who and when."),
        baselines: Path = typer.Option(BASELINES, "--baselines", help="Folder of accepted baselines."),
        junit: Path | None = typer.Option(None, "--junit", help="Write JUnit XML."),
        markdown: Path | None = typer.Option(None, "--markdown", help="Write a summary for a pull request."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Is it worse than the baseline by more than the profile allows? PASS, FAIL (exit code 1) or INCONCLUSIVE."""
        if (against is None) == (against_record is None):
            raise ConfigError("give one of --against and --against-record", "harness check SUBJECT --against BASELINE")
        if accept and not reason.strip():
            raise ConfigError("--accept needs --reason", '--accept --reason "larger head, agreed in review"')
        from harness.core.deployment import read_profile
        from harness.core.files import write_atomic
        from harness.gate import Effort, check_side_by_side, plans_of
        from harness.results import render_check
        from harness.results.check_result import object_of

        who = _who() if accept else ""
        settings = read_profile(profile)
        named = backends.split(",") if backends else None
        command = shlex.join(["harness", *sys.argv[1:]])
        with progress("check") as report:
            given: dict[str, Any] = {"data": data, "root": root, "command": command, "progress": report}
            if against is not None:
                checks = check_side_by_side(subject, against, settings, backends=named, effort=Effort(max_seconds=max_seconds), **given)
            else:
                after, settings = plans_of(subject, settings, named, data)
                checks = _with_records(after, str(against_record), settings, baselines, **given)
        result([object_of(one) for one in checks], json, [line for one in checks for line in [*render_check.lines_of(one), ""]][:-1])
        if junit:
            remark(f"{write_atomic(junit, render_check.junit(checks, strict=strict))}")
        if markdown:
            remark(f"{write_atomic(markdown, render_check.markdown(checks))}")
        if accept:
            _accept(checks, baselines, who, reason)
            return
        _exit(checks, strict)


def _exit(checks: list[Checked], strict: bool) -> None:
    outcomes = {str(one.outcome) for one in checks}
    if "FAIL" in outcomes or (strict and "INCONCLUSIVE" in outcomes):
        raise typer.Exit(FAILED)


def _with_records(after, wanted, settings, baselines, **given) -> list[Checked]:  # type: ignore[no-untyped-def]
    from harness.gate import accepted_for, check_against_record, plan_like
    from harness.results.store import read_record

    if wanted == "accepted":
        pairs = [(plan, accepted_for(baselines, plan, settings)) for plan in after]
    else:
        old = read_record(Path(wanted))
        pairs = [(plan_like(after, old), old)]
    return [check_against_record(plan, old, settings, **given) for plan, old in pairs]


def _who() -> str:
    import getpass
    import os

    try:
        return os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN") or getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        return f"uid {os.getuid()}"


def _accept(checks: list[Checked], baselines: Path, who: str, reason: str) -> None:
    from harness.results.accepted import accept, baseline_path
    from harness.support.clock import utc_now

    measured = [(one, one.record) for one in checks if one.record is not None]
    if len(measured) < len(checks):
        named = ", ".join(one.subject for one in checks if one.record is None)
        raise ConfigError(f"{named}: nothing was measured, so nothing is accepted", "harness check SUBJECT --against BASELINE")
    places = [baseline_path(baselines, record.environment.machine, record.cell.subject, record.profile.name) for _, record in measured]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice:
        raise ConfigError(f"{places.count(twice)} of the cells would be the one baseline {twice}", "name one artifact folder")
    for one, record in measured:
        remark(f"accepted: {accept(baselines, record, who=who, when=utc_now(), why=reason, outcome=str(one.outcome))}")
