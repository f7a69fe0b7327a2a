"""More pictures of a group: memory by phase, IoU per class, latency and throughput by batch, the roofline. The same records give the same bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.results.figure import Absent, Entry, Figure, figure_from_outcome
from harness.results.plot import COLORS, MARKERS, new_picture
from harness.results.plot_labels import label_of
from harness.results.plot_roofline import roofline_picture
from harness.results.plot_tradeoff import picture_of
from harness.results.row import Row, text_of
from harness.results.table import Group
from harness.results.units import Dimension, Unit, three_digits, unit_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

#: Rows in one picture; more can't be read.
MOST_ROWS = 40
MOST_LINES = 8
PHASES = {
    "import_memory": "after importing the runtime",
    "load_memory": "while loading",
    "peak_host_memory": "while running",
    "peak_device_memory": "on the device, while running",
}


def memory_picture(group: Group) -> Picture:
    """Peak memory of each phase, one line per row, least at the top. The phases are peaks of one process, so they don't add up."""
    rows = [(row, {key: entry for key in PHASES if isinstance(entry := figure_from_outcome(row.record.outcome(key)), Figure)}) for row in group.rows]
    measured = sorted((item for item in rows if item[1]), key=lambda item: max(entry.value for entry in item[1].values()))
    unit = unit_for("bytes", (entry.value for _, entries in measured for entry in entries.values()))
    series = {name: [(line, entries[key]) for line, (_, entries) in enumerate(measured) if key in entries] for key, name in PHASES.items()}
    return _lines_picture(group, [row for row, _ in measured], series, f"peak memory ({unit.label})", unit)


def classes_picture(group: Group) -> Picture:
    """IoU of each class, one line per row in the order of the table."""
    rows = [(row, _classes(row)) for row in group.rows]
    scored = [item for item in rows if item[1]]
    names = list(dict.fromkeys(name for _, classes in scored for name in classes))
    series = {name: [(line, Figure(classes[name])) for line, (_, classes) in enumerate(scored) if name in classes] for name in names}
    return _lines_picture(group, [row for row, _ in scored], series, "IoU", Unit("", 1.0))


def batch_picture(group: Group) -> Picture:
    """Latency and throughput against the batch, one line per model, runtime and precision that ran at two batches or more."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    lines = _batches(group)
    picture, panels = new_picture(group, (11.0, 5.0), 2)
    sides: tuple[tuple[str, str, Dimension], ...] = (("latency", "latency of a call, median", "time"), ("throughput", "throughput", "rate"))
    for axes, (key, title, dimension) in zip(panels, sides, strict=True):
        unit = unit_for(dimension, (entry.value for line in lines.values() for row in line if isinstance(entry := row.entries[key], Figure)))
        for index, (name, line) in enumerate(list(lines.items())[:MOST_LINES]):
            _draw_line(axes, line, key, unit, {"color": COLORS[index % len(COLORS)], "marker": MARKERS[index % len(MARKERS)], "label": name})
        axes.set(xlabel="batch", ylabel=f"{title} ({unit.label})", xscale="log", yscale="log")
        axes.set_xticks(sorted({row.record.cell.batch for line in lines.values() for row in line}) or [1])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{float(three_digits(value)):g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else ""))
        axes.grid(visible=True, color="0.9", linewidth=0.6)
    if lines:
        picture.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    else:
        panels[0].text(0.5, 0.5, "nothing ran at two batches", transform=panels[0].transAxes, ha="center", color="0.4")
    _left_out(picture, len(lines) - MOST_LINES, "lines")
    return picture


KINDS: Mapping[str, Callable[[Group], Any]] = {
    "tradeoff": picture_of,
    "memory": memory_picture,
    "classes": classes_picture,
    "batch": batch_picture,
    "roofline": roofline_picture,
}


def _classes(row: Row) -> dict[str, float]:
    miou = row.record.measured("miou")
    return {str(name): float(value) for name, value in (miou.detail.get("per_class", {}) if miou else {}).items() if value is not None}


def _batches(group: Group) -> dict[str, list[Row]]:
    """Rows that differ in the batch alone, in its order."""
    lines: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(group.rows, key=lambda row: row.record.cell.batch):
        if isinstance(row.entries["latency"], Figure):
            cell = row.record.cell
            lines[f"{_name(row, group)}, tile {cell.tile}, {cell.device}, {cell.threads} threads"].append(row)
    return {name: line for name, line in sorted(lines.items()) if len({row.record.cell.batch for row in line}) > 1}


def _lines_picture(group: Group, rows: Sequence[Row], series: Mapping[str, Sequence[tuple[int, Entry]]], title: str, unit: Unit) -> Picture:
    """Names on the left, one line each, a mark per series."""
    shown = rows[:MOST_ROWS]
    picture, (axes,) = new_picture(group, (9.0, 1.6 + 0.27 * max(len(shown), 3)), 1)
    for index, (name, points) in enumerate(series.items()):
        known = [(line, entry) for line, entry in points if line < len(shown) and not isinstance(entry, Absent)]
        style: dict[str, Any] = {"marker": MARKERS[index % len(MARKERS)], "color": COLORS[index % len(COLORS)], "linestyle": "", "label": name}
        if known:
            axes.plot([entry.value / unit.factor for _, entry in known], [line for line, _ in known], **style)
    axes.set_yticks(range(len(shown)), [f"{_name(row, group)}, batch {row.record.cell.batch}" for row in shown])
    axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    axes.set_xlabel(title)
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    if unit.label:
        axes.set_xlim(left=0)
    if shown:
        picture.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, "no row has these figures", transform=axes.transAxes, ha="center", color="0.4")
    _left_out(picture, len(rows) - len(shown), "rows")
    return picture


def _draw_line(axes: Axes, line: Iterable[Row], key: str, unit: Unit, style: dict[str, Any]) -> None:
    points = [(row.record.cell.batch, entry) for row in line if isinstance(entry := row.entries[key], Figure)]
    values = [entry.value / unit.factor for _, entry in points]
    ends = [(entry.reach if entry.is_bounded else (entry.value, entry.value)) for _, entry in points]
    arms = [[value - low / unit.factor for value, (low, _) in zip(values, ends, strict=True)]]
    arms += [[high / unit.factor - value for value, (_, high) in zip(values, ends, strict=True)]]
    axes.errorbar([batch for batch, _ in points], values, yerr=arms, linewidth=1.2, markersize=5, capsize=2, **style)


def _name(row: Row, group: Group) -> str:
    return f"{label_of(row, group)}, {text_of(row, 'runtime')}"


def _left_out(picture: Picture, count: int, what: str) -> None:
    if count > 0:
        picture.text(0.005, 0.005, f"{count} {what} left out for space; the table has every row", fontsize=7, color="0.4")
