"""`harness doctor`: what runs on this machine, why the rest doesn't, and what makes it a bad place to measure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from harness.cli.output import progress, result

if TYPE_CHECKING:
    from harness.profiling.doctor import Ability, Findings

WIDTH = 80


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness doctor --json")
    def doctor(json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
        """Show the machine, the runtimes, and what to mend."""
        from harness.profiling.doctor import examine

        with progress("looking") as report:
            findings = examine(report)
        result(findings.model_dump(mode="json"), json, _lines(findings))


def _lines(findings: Findings) -> list[str]:
    here = findings.environment
    facts = {
        "machine": f"{here.cpu}, {here.cores} cores, {here.memory / 1e9:.0f} GB" + (f", {here.gpu}" if here.gpu else ", no NVIDIA GPU"),
        "system": f"{here.os}, Python {here.python}" + (f", in {here.container}" if here.container else ""),
        "packages": ", ".join(f"{name} {version}" for name, version in here.packages.items()),
        "fingerprint": here.fingerprint,
    }
    lines = [line for name, words in facts.items() for line in _wrapped(f"{name:<13}", words)]
    reasons = _numbered([*(ability.reason for ability in findings.matrix), *(part.reason for part in findings.parts)])
    exporters = [(part.kind, part.name, part.reason) for part in findings.parts if part.kind == "exporter"]
    providers = [(part.kind, f"{part.name} {part.device}", part.reason) for part in findings.parts if part.kind == "provider"]
    broken = [(part.kind, part.name, part.reason) for part in findings.parts if part.kind == "backend" and not part.device]
    lines += ["", *_matrix(findings.matrix, reasons), ""]
    lines += [f"{kind:<9} {name:<28} {_said(reason, reasons)}" for kind, name, reason in exporters + providers + broken]
    lines += [""] * bool(reasons)
    lines += [line for reason, number in reasons.items() for line in _wrapped(f"{f'({number})':<5}", reason)]
    advice = [line for said in findings.advice for line in _wrapped("", f"{said.kind}: {said.message}; {said.advice}")]
    return [*lines, "", *advice] if advice else lines


def _numbered(reasons: Sequence[str | None]) -> dict[str, int]:
    """Each reason once, with the number by which the lines above refer to it."""
    return {reason: number for number, reason in enumerate(dict.fromkeys(reason for reason in reasons if reason is not None), 1)}


def _said(reason: str | None, reasons: Mapping[str, int]) -> str:
    return "runs" if reason is None else f"no ({reasons[reason]})"


def _matrix(abilities: Sequence[Ability], reasons: Mapping[str, int]) -> list[str]:
    """Runtime and device by precision: runs, or the number of the reason below."""
    precisions = list(dict.fromkeys(ability.precision for ability in abilities))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for ability in abilities:
        rows.setdefault((ability.backend, ability.device), {})[ability.precision] = _said(ability.reason, reasons)
    widths = {name: max(len(name), len("no (00)")) for name in precisions}
    head = f"{'runtime':<14} {'device':<6} " + " ".join(f"{name:<{widths[name]}}" for name in precisions)
    lines = [f"{backend:<14} {device:<6} " + " ".join(f"{row[name]:<{widths[name]}}" for name in precisions) for (backend, device), row in rows.items()]
    return [line.rstrip() for line in (head, *lines)]


def _wrapped(label: str, words: str) -> list[str]:
    """`words` after `label`, indented under themselves, at the width that every terminal has."""
    return textwrap.wrap(words, WIDTH, initial_indent=label, subsequent_indent=" " * len(label), break_on_hyphens=False)
