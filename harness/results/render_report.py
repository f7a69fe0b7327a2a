"""A readiness report as one HTML file that needs no network and no script, as markdown, or as JSON.

What records say reaches the page only through jinja2's autoescape; the page's content security policy allows its own style, by hash,
pictures as data, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import harness
from harness.results import report_facts as facts
from harness.results.layout import printable
from harness.results.readiness import Answer, Judged, Readiness
from harness.results.report_svg import bars, histogram
from harness.results.shown import shown
from harness.results.units import unit_for

MOST_PICTURES = 5
LARGEST_PICTURE = 3_000_000


def headline(found: Readiness) -> str:
    """Why the answer is what it is, in a sentence."""
    if not found.cells:
        return "nothing was measured under this profile"
    best = found.cells[0]
    if not best.verdicts:
        return "the profile sets no limit"
    if found.answer is Answer.READY:
        count = len(best.verdicts)
        return f"{title_of(best)} meets {f'all {count} limits' if count > 1 else 'the only limit'}"
    open_ones = [f"{one.limit.quantity} ({one.status}: {one.why})" for one in best.verdicts if one.status != "PASS"]
    return f"best: {title_of(best)}; " + "; ".join(open_ones)


def title_of(judged: Judged) -> str:
    cell = judged.record.cell
    return f"{cell.backend} {cell.exported_as} on {cell.device}, batch {cell.batch}, {judged.record.environment.machine}"


def name_of(found: Readiness) -> str:
    """The subject for a heading: a record's file by what it is of."""
    if not found.subject.endswith(".json") or not found.cells:
        return found.subject
    record = found.cells[0].record
    return f"{record.cell.model}, record {record.id[:8]}"


def commands_of(found: Readiness, options: Mapping[str, str]) -> list[str]:
    """What to type to measure and to make the report again, each line once. `options`: those that the user gave to `harness report`."""
    given = [word for option in options.items() for word in option]
    report = shlex.join(["harness", "report", found.subject, *given, "--out", "report.html"])
    measured = [one.record.command for one in found.cells if one.record.command]
    if not found.cells:
        measured = [shlex.join(["harness", "profile", found.subject, "--profile", options.get("--profile", found.profile.name)])]
    return list(dict.fromkeys([*measured, report]))


def html(found: Readiness, *, options: Mapping[str, str], records: str) -> str:
    """The whole page as text. `options`: those that the user gave to `harness report`; `records`: the folder that was read."""
    import jinja2

    style = _asset("report.css")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(_asset("report.html"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return page.render(
        answer=str(found.answer),
        subject=name_of(found),
        profile=found.profile,
        headline=headline(found),
        cells=[_cell(one) for one in found.cells],
        commands=commands_of(found, options),
        records=records,
        style=_safe(style),
        style_hash=_safe(f"sha256-{digest}"),
        version=harness.__version__,
    )


def markdown(found: Readiness, *, options: Mapping[str, str], records: str) -> str:
    """The same facts as markdown, pictures apart."""
    lines = [f"# {found.answer}: {_plain(name_of(found))} for {found.profile.name}", "", _plain(headline(found)), ""]
    if not found.cells:
        lines += [f"No record of this model under this profile was found in {_plain(records)}.", ""]
    for one in found.cells:
        lines += [f"## {_plain(title_of(one))}: {one.answer}", ""]
        lines += [f"This record does not judge the profile: {_plain(one.unfit)}.", ""] if one.unfit else []
        for title, head, rows in _tables(one):
            lines += [f"### {title}", "", *_table(head, rows), ""] if rows else []
        lines += [f"- {_plain(text)}" for text in facts.warnings(one)]
    return "\n".join([*lines, "## How to make it again", "", "```console", *(f"$ {line}" for line in commands_of(found, options)), "```", ""])


def object_of(found: Readiness, *, options: Mapping[str, str], records: str) -> dict[str, Any]:
    """The same facts as plain JSON values; limits in base units."""
    return {
        "answer": str(found.answer),
        "why": headline(found),
        "subject": found.subject,
        "profile": {"name": found.profile.name, "sha256": found.profile.sha256},
        "records": records,
        "cells": [
            {
                "title": title_of(one),
                "answer": str(one.answer),
                "record": one.record.id,
                "unfit": one.unfit,
                "verdicts": [verdict.model_dump(mode="json") for verdict in one.verdicts],
                "missing": [dict(zip(("quantity", "why", "reason", "how"), row, strict=True)) for row in facts.missing(one.record)],
                "warnings": facts.warnings(one),
                "provenance": dict(facts.provenance(one.record)),
            }
            for one in found.cells
        ],
        "commands": commands_of(found, options),
    }


def _cell(one: Judged) -> dict[str, Any]:
    record = one.record
    memory = [(name, value, shown("peak_host_memory", value)) for name, value in facts.memory(record)]
    return {
        "title": title_of(one),
        "answer": str(one.answer),
        "unfit": one.unfit,
        "limits": facts.limits_of(one),
        "warnings": facts.warnings(one),
        "percentiles": facts.percentiles(record),
        "histogram": _safe(_latencies(one)),
        "speed": facts.figures(record, facts.SPEED),
        "memory": _safe(bars(memory, "Memory by phase: " + ", ".join(f"{name} {text}" for name, _, text in memory))),
        "accuracy": facts.figures(record, facts.ACCURACY),
        "classes": _safe(_shares(record, "per_class", "IoU by class")),
        "regions": _safe(_shares(record, "per_region", "mIoU by region")),
        "parity": facts.figures(record, facts.PARITY),
        "worst": [(str(tile.get("tile")), f"{100 * float(tile.get('agreement', 0)):.3f} %") for tile in facts.worst_tiles(record)],
        "pictures": list(_pictures(one)),
        "compute": facts.figures(record, facts.COMPUTE),
        "export": facts.export_facts(record),
        "missing": facts.missing(record),
        "provenance": facts.provenance(record),
    }


def _tables(one: Judged) -> Iterable[tuple[str, Sequence[str], Sequence[Sequence[str]]]]:
    record, figure = one.record, ("quantity", "value", "95 % interval", "what it is")
    yield "Budget", ("limit", "wanted", "seen", "95 % interval", "verdict", "why"), facts.limits_of(one)
    yield "Latency", ("percentile", "value", "95 % interval"), facts.percentiles(record)
    yield "Speed", figure, facts.figures(record, facts.SPEED)
    yield "Memory by phase", ("phase", "peak"), [(name, shown("peak_host_memory", value)) for name, value in facts.memory(record)]
    yield "Accuracy", figure, facts.figures(record, facts.ACCURACY)
    for key, title in (("per_class", "IoU by class"), ("per_region", "mIoU by region")):
        yield title, ("name", "value"), [(name, "-" if value is None else f"{value:.3f}") for name, value in facts.shares(record, key)]
    yield "Parity", figure, facts.figures(record, facts.PARITY)
    yield "Compute and size", figure, facts.figures(record, facts.COMPUTE)
    yield "Export and runtime", ("fact", "value"), facts.export_facts(record)
    yield "Not measured", ("quantity", "why", "reason", "how to measure it"), facts.missing(record)
    yield "Where it comes from", ("fact", "value"), facts.provenance(record)


def _latencies(one: Judged) -> str:
    taken = facts.samples(one.record)
    if not taken:
        return ""
    unit = unit_for("time", taken)
    outcome = one.record.measured("latency")
    marks = [("p50", outcome.percentile(0.5)), ("p95", outcome.percentile(0.95))] if outcome else []
    limits = [(f"limit on {limit.statistic}", limit.max) for limit in (verdict.limit for verdict in one.verdicts) if limit.quantity == "latency" and limit.max]
    return histogram(taken, [*marks, *limits], factor=unit.factor, unit=unit.label)


def _shares(record: Any, key: str, title: str) -> str:
    rows = [(name, value or 0.0, "in neither truth nor prediction" if value is None else f"{value:.3f}") for name, value in facts.shares(record, key)]
    return bars(rows, f"{title}: " + ", ".join(f"{name} {text}" for name, _, text in rows))


def _pictures(one: Judged) -> Iterable[dict[str, str]]:
    """Pictures of the worst tiles that lie beside the record, as data; large ones are left on disk."""
    if one.path is None:
        return
    folder = one.path.with_suffix(".tiles")
    for tile in facts.worst_tiles(one.record)[:MOST_PICTURES]:
        file = folder / Path(str(tile.get("picture") or "none")).name
        if file.is_file() and file.suffix == ".png" and file.stat().st_size <= LARGEST_PICTURE:
            yield {"tile": str(tile.get("tile")), "data": f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(_plain(str(cell)) for cell in row) + " |" for row in rows]


def _plain(text: str) -> str:
    """Text that can't end a table's cell, start HTML or steer a terminal."""
    return printable(" ".join(text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;").split()))


def _safe(text: str) -> Any:
    """Markup made here, whose text parts are escaped already."""
    import markupsafe

    return markupsafe.Markup(text)


def _asset(name: str) -> str:
    return (files("harness.results") / "report" / name).read_text(encoding="utf-8")
