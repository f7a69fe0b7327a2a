"""A history as lines for a terminal and as an object for programs."""

from __future__ import annotations

from typing import Any

from harness.results.change_points import FEWEST
from harness.results.figure import Figure
from harness.results.history import History
from harness.results.history_series import Change, Series
from harness.results.layout import printable
from harness.results.units import Unit


def lines_of(found: History) -> list[str]:
    """Each series with a line per measurement; a line below the point before a change says it."""
    lines = [f"{found.quantity} on {found.machine}, fingerprint {found.fingerprint}", ""]
    for series in found.series:
        lines += [*_series(found, series), ""]
    if not found.series:
        lines += [f"no record of this fingerprint has {found.quantity}", ""]
    if found.without:
        lines.append(f"{found.without} records without {found.quantity} are not shown.")
    for other in found.elsewhere:
        lines.append(f"not mixed in: {other.records} records of {other.machine}, fingerprint {other.fingerprint}, the last of {other.last[:10]}")
    return [printable(line) for line in lines]


def _series(found: History, series: Series) -> list[str]:
    unit = found.unit_of(series)
    changes = {change.index: change for change in series.changes}
    values = [found.shown(point.figure.value, unit) for point in series.points]
    intervals = [_interval(found, point.figure, unit) for point in series.points]
    wide, wider, widest = (max(map(len, texts)) for texts in ([point.mark for point in series.points], values, intervals))
    count = f"{len(values)} measurement{'s' * (len(values) != 1)}"
    lines = [f"{series.name}: {count}" + (f", in {unit.label}" if unit.label else "")]
    for index, point in enumerate(series.points):
        if index in changes:
            lines.append(f"  ---- {_said(found, series, changes[index])}")
        when = "" if point.mark.startswith(point.created[:10]) else f"  {point.created[:16].replace('T', ' ')}"
        lines.append(f"  {point.mark:<{wide}}{when}  {values[index]:>{wider}}  {intervals[index]:<{widest}}  {point.record[:8]}")
    return [*lines, f"  {_verdict(series)}"]


def _interval(found: History, figure: Figure, unit: Unit) -> str:
    if figure.is_exact or figure.low is None or figure.high is None:
        return ""
    return f"[{found.shown(figure.low, unit)}, {found.shown(figure.high, unit)}]"


def _said(found: History, series: Series, change: Change) -> str:
    unit = found.unit_of(series)
    way = {True: "worse", False: "better", None: "changed"}[change.is_worse]
    between = f" [{percent(change.low)}, {percent(change.high)}]" if change.low is not None and change.high is not None else ""
    return f"{way} from here: {found.shown(change.before, unit)} to {found.shown(change.after, unit)} {unit.label}".rstrip() + f", {change.text}{between}"


def _verdict(series: Series) -> str:
    if len(series.points) < FEWEST:
        return f"changes are looked for from {FEWEST} measurements on"
    noise = f"{100 * series.noise:.2g} %" if series.is_relative else f"{series.noise:.2g}"
    return f"{len(series.changes) or 'no'} change{'s' * (len(series.changes) != 1)}; standard deviation between neighbors {noise}"


def percent(ratio: float) -> str:
    """A ratio as a signed change."""
    return f"{(ratio - 1) * 100:+.3g} %"


def object_of(found: History) -> dict[str, Any]:
    """Base units; `changes` give the index of the first point of the new level."""
    return {
        "quantity": found.quantity,
        "unit": found.unit,
        "better": found.better,
        "fingerprint": found.fingerprint,
        "machine": found.machine,
        "series": [_object(series) for series in found.series],
        "elsewhere": [{"fingerprint": one.fingerprint, "machine": one.machine, "records": one.records, "last": one.last} for one in found.elsewhere],
        "without": found.without,
    }


def _object(series: Series) -> dict[str, Any]:
    points = [
        {
            "record": point.record,
            "created": point.created,
            "commit": point.commit or None,
            "changed": point.changed,
            "value": point.figure.value,
            "low": point.figure.low,
            "high": point.figure.high,
        }
        for point in series.points
    ]
    changes = [
        {
            "index": change.index,
            "record": series.points[change.index].record,
            "commit": series.points[change.index].commit or None,
            "before": change.before,
            "after": change.after,
            "ratio": change.ratio,
            "low": change.low,
            "high": change.high,
            "is_worse": change.is_worse,
        }
        for change in series.changes
    ]
    return {"name": series.name, "points": points, "changes": changes, "noise": series.noise, "noise_is_relative": series.is_relative}
