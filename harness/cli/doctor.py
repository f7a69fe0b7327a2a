"""`harness doctor`: what runs on this machine, why the rest doesn't, and what makes it a bad place to measure."""

from __future__ import annotations

import typer

from harness.cli.output import progress, result


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness doctor --json")
    def doctor(json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
        """Show the machine, the runtimes, and what to mend."""
        from harness.profiling.doctor import examine

        with progress("looking") as report:
            findings = examine(report)
        result(findings.model_dump(mode="json"), json, _lines(findings))


def _lines(findings) -> list[str]:  # type: ignore[no-untyped-def]
    here = findings.environment
    lines = [
        f"machine      {here.cpu}, {here.cores} cores, {here.memory / 1e9:.0f} GB" + (f", {here.gpu}" if here.gpu else ", no NVIDIA GPU"),
        f"system       {here.os}, Python {here.python}" + (f", in {here.container}" if here.container else ""),
        f"packages     {', '.join(f'{name} {version}' for name, version in here.packages.items())}",
        f"fingerprint  {here.fingerprint}",
        "",
    ]
    lines += [f"{part.kind:<9} {part.name:<16} {part.device:<5} {'runs' if part.reason is None else part.reason}" for part in findings.parts]
    lines += ["", *_matrix(findings.matrix)]
    return [*lines, "", *(f"{advice.kind}: {advice.message}; {advice.advice}" for advice in findings.advice)] if findings.advice else lines


def _matrix(abilities) -> list[str]:  # type: ignore[no-untyped-def]
    """Runtime and device by precision: runs, or the number of the reason below."""
    precisions = list(dict.fromkeys(ability.precision for ability in abilities))
    reasons: dict[str, int] = {}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for ability in abilities:
        said = "runs" if ability.reason is None else f"no ({reasons.setdefault(ability.reason, len(reasons) + 1)})"
        rows.setdefault((ability.backend, ability.device), {})[ability.precision] = said
    head = f"{'runtime':<16} {'device':<6} " + " ".join(f"{name:<12}" for name in precisions)
    lines = [f"{backend:<16} {device:<6} " + " ".join(f"{row[name]:<12}" for name in precisions) for (backend, device), row in rows.items()]
    return [line.rstrip() for line in (head, *lines)] + [f"({number}) {reason}" for reason, number in reasons.items()]
