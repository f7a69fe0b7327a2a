"""A recommendation in words, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.core.verdict import Verdict
from harness.results.columns import Column, column
from harness.results.figure import Figure
from harness.results.layout import printable, tells_apart
from harness.results.recommend import Candidate, Cost, Recommendation
from harness.results.row import Row, text_of
from harness.results.units import human, unit_for

#: Rows that may fit which are named; the rest are counted.
NAMED = 3
#: Settings that a row is named with where rows of the answer differ in them.
_TELLING = ("seed", "settings", "format", "variant", "threads")


def column_of(quantity: str) -> Column:
    """The column whose dimension a limit's amount has; "memory" is that of whichever device."""
    return column("peak_host_memory" if quantity == "memory" else quantity)


def lines_of(answer: Recommendation) -> list[str]:
    """For people: what to take, what else, and what each limit costs."""
    telling = _telling(answer)
    lines = [f"{answer.place.heading}: {answer.fitting} of {answer.considered} rows fit"]
    if answer.best is None:
        lines += ["  no candidate, nearest misses:" if answer.misses else "  no candidate: no row has the figure to choose by"]
        lines += [line for candidate in answer.misses for line in _missed(candidate, telling)]
    else:
        lines += [f"  best choice: {_named(answer.best, answer.objective, telling)}"]
        lines += [f"    warning: {flag.kind}: {flag.message}" + (f" ({flag.advice})" if flag.advice else "") for flag in answer.best.flags]
        second = f"{_named(answer.runner_up, answer.objective, telling)}{_tie(answer)}" if answer.runner_up else "none: nothing else fits"
        lines += [f"  runner-up:   {second}"]
    lines += [f"  {_priced(cost, answer, telling)}" for cost in answer.costs]
    if answer.best is not None and answer.unknown:
        named = ", ".join(_short_row(candidate.row, telling) for candidate in answer.unknown[:NAMED])
        lines.append(f"  {len(answer.unknown)} more may fit, unknown until measured longer or at all: {named}")
    return list(map(printable, lines))


def _telling(answer: Recommendation) -> tuple[str, ...]:
    """Columns of settings in which rows differ that the answer names and that else read alike."""
    others = [candidate.row for candidate in (*answer.misses, *answer.unknown[:NAMED])]
    named = [answer.best, answer.runner_up, *(cost.without for cost in answer.costs), *others]
    rows = [row for row in named if row is not None]
    return tuple(key for key in _TELLING if tells_apart(column(key), rows))


def _tie(answer: Recommendation) -> str:
    return f"; its {answer.objective} differs within noise" if answer.is_tie else ""


def _named(row: Row, objective: str, telling: Iterable[str]) -> str:
    keys = dict.fromkeys((objective, "miou", "latency", "peak_host_memory", "peak_device_memory", "artifact_size"))
    figures = [text for key in keys if (text := _figure(row, key))]
    return f"{_short_row(row, telling)}: {', '.join(figures)} [record {row.record.id[:8]}]"


def _short_row(row: Row, telling: Iterable[str]) -> str:
    cell, more = row.record.cell, "".join(f", {key} {text_of(row, key)}" for key in telling)
    return f"{cell.model} ({text_of(row, 'regime')}{more}) on {cell.backend} {cell.device} {cell.precision} batch {cell.batch} tile {cell.tile}"


def _figure(row: Row, key: str) -> str:
    entry = row.entries[key]
    if not isinstance(entry, Figure):
        return ""
    column = column_of(key)
    between = "" if entry.is_exact or entry.low is None or entry.high is None else f" [{_amount(entry.low, key)}, {_amount(entry.high, key)}]"
    return f"{column.title or column.key} {_amount(entry.value, key)}{between}"


def _amount(value: float, key: str) -> str:
    dimension = column_of(key).dimension
    unit = unit_for(dimension, [value])
    return f"{human(value, dimension, unit)} {unit.label}".strip()


def _missed(candidate: Candidate, telling: Iterable[str]) -> list[str]:
    misses = [verdict for verdict in candidate.verdicts if verdict.status != "PASS"]
    return [f"    {_short_row(candidate.row, telling)} [record {candidate.row.record.id[:8]}]", *(f"      {_why(verdict)}" for verdict in misses)]


def _why(verdict: Verdict) -> str:
    limit = verdict.limit
    wanted = f"at most {_amount(limit.max, limit.quantity)}" if limit.max is not None else f"at least {_amount(limit.min or 0.0, limit.quantity)}"
    seen = "" if verdict.seen is None else f", seen {_amount(verdict.seen, limit.quantity)}"
    if verdict.interval is not None:
        seen += f" [{_amount(verdict.interval.low, limit.quantity)}, {_amount(verdict.interval.high, limit.quantity)}]"
    name = limit.quantity if limit.statistic == "p50" else f"{limit.quantity} {limit.statistic}"
    return f"{verdict.status} {name}: {wanted}{seen}: {verdict.why}"


def _priced(cost: Cost, answer: Recommendation, telling: Iterable[str]) -> str:
    if cost.without is None:
        return f"{cost.asked.text} costs nothing" if answer.best else f"{cost.asked.text}: dropping it alone admits nothing"
    limit = cost.asked.limit(cost.without.record)
    needs = "" if cost.needs is None else f", admitted from {limit.quantity} {_amount(cost.needs, limit.quantity)} on"
    other = f"{_short_row(cost.without, telling)}{needs}"
    if cost.gives_away is None:
        return f"{cost.asked.text}: without it the choice is {other}"
    noise = ", within noise" if cost.is_noise else ""
    return f"{cost.asked.text} costs {_amount(cost.gives_away, answer.objective)} {answer.objective}{noise}: without it the choice is {other}"


def object_of(answer: Recommendation) -> dict[str, Any]:
    """For programs, in base units; `figures` are [value, low, high]."""
    return {
        "machine": answer.place.machine,
        "data": answer.place.data,
        "profile": answer.place.profile,
        "objective": answer.objective,
        "considered": answer.considered,
        "fitting": answer.fitting,
        "best": _row_object(answer.best),
        "runner_up": _row_object(answer.runner_up),
        "within_noise": answer.is_tie,
        "costs": [_cost_object(cost) for cost in answer.costs],
        "unknown": [candidate.row.record.id for candidate in answer.unknown],
        "misses": [{**(_row_object(found.row) or {}), "verdicts": [verdict.model_dump(mode="json") for verdict in found.verdicts]} for found in answer.misses],
    }


def _cost_object(cost: Cost) -> dict[str, Any]:
    without = None if cost.without is None else cost.without.record.id
    return {"limit": cost.asked.text, "without": without, "gives_away": cost.gives_away, "within_noise": cost.is_noise, "needs": cost.needs}


def _row_object(row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    cell = row.record.cell
    flags = [flag.model_dump() for flag in row.flags]
    figures = {key: [entry.value, entry.low, entry.high] for key, entry in row.entries.items() if isinstance(entry, Figure)}
    return {
        "record": row.record.id,
        "model": cell.model,
        "regime": text_of(row, "regime"),
        "seed": row.record.checkpoint.seed,
        "settings": text_of(row, "settings"),
        "runtime": cell.backend,
        "device": cell.device,
        "precision": cell.precision,
        "variant": cell.variant,
        "flags": flags,
        "figures": figures,
    }
