"""The tradeoff as a picture: one quantity up, others across in a panel each, one figure per group; usually mIoU against latency and compute.

Filled points are on the front of their panel (rule in `pareto`), pale ones are dominated beyond noise. The step line joins the best value so
far among front points. An axis is logarithmic where its values are positive and the largest is some times the smallest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.results.columns import figure_column
from harness.results.figure import Figure
from harness.results.pareto import Better, front
from harness.results.plot import Look, draw_dots, linear_axis, log_axis, look_of, new_picture, runtime_handles
from harness.results.plot_labels import Dot, label_points
from harness.results.table import Group, coordinate
from harness.results.units import Dimension, unit_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

QUANTITIES = ("miou", "latency", "forward_flops")
#: Largest over smallest value from which on an axis is logarithmic.
SPREAD = 3.0
_LINEAR: frozenset[Dimension] = frozenset({"score", "share", "change"})
_TITLES = {
    "latency": "latency, median",
    "latency_p95": "latency, 95th percentile",
    "end_to_end_latency": "end-to-end latency, median",
    "forward_flops": "compute per input",
    "macs": "multiply-adds per input",
    "parameters": "parameters",
    "artifact_size": "size on disk",
}


class Axis(NamedTuple):
    """One quantity on an axis: its title with unit and way, how many base units make one shown, its intervals' ends, and the largest value."""

    key: str
    better: Better
    title: str
    factor: float
    is_log: bool
    ends: tuple[float, ...]
    most: float


def picture_of(group: Group, quantities: Sequence[str] = QUANTITIES) -> Picture:
    """The first of the quantities against each of the others. Raises ConfigError for one that is no column of figures."""
    up, *across = quantities
    picture, panels = new_picture(group, (max(8.0, 6.5 * len(across)), 5.6), len(across))
    found, look = [dots_of(group, key, up) for key in across], look_of(group)
    height = axis_of(up, [dot.y for dots in found for dot in dots])
    for axes in panels[1:]:
        axes.tick_params(labelleft=False)
    panels[0].set_ylabel(f"{height.title}; bars: 95 % intervals")
    drawn = [_panel(axes, group, dots, (axis_of(key, [dot.x for dot in dots]), height), look) for axes, key, dots in zip(panels, across, found, strict=True)]
    _legend(picture, panels, look)
    picture.draw_without_rendering()
    # Labels are placed in points of this layout, so it must not move again.
    picture.set_layout_engine("none")
    levels = [baseline.miou for baseline in group.baselines[:1]] if up == "miou" else []
    left_out = sum(label_points(axes, dots, group, lines=(path, levels)) for axes, dots, path in zip(panels, found, drawn, strict=True))
    if left_out:
        picture.text(0.005, 0.005, f"{left_out} labels left out for space; the table has every row", fontsize=7, color="0.4")
    return picture


def dots_of(group: Group, across: str, up: str = "miou") -> list[Dot]:
    """The rows that have both quantities, with the front of this pair."""
    pairs = [(row, row.entries[across], row.entries[up]) for row in group.rows]
    known = [(row, x, y) for row, x, y in pairs if isinstance(x, Figure) and isinstance(y, Figure)]
    ways = [figure_column(across)[1], figure_column(up)[1]]
    on_front = front([(coordinate(x), coordinate(y)) for _, x, y in known], ways)
    return [Dot(row, x, y, best) for (row, x, y), best in zip(known, on_front, strict=True)]


def axis_of(key: str, figures: Sequence[Figure]) -> Axis:
    """The axis that holds these figures of a column."""
    column, better = figure_column(key)
    unit = unit_for(column.dimension, (figure.value for figure in figures))
    values = [figure.value for figure in figures]
    is_log = column.dimension not in _LINEAR and bool(values) and min(values) > 0 and max(values) >= SPREAD * min(values)
    said = ", ".join([*([unit.label] if unit.label else []), *(["log scale"] if is_log else []), f"{better} is better"])
    factor = 0.01 if column.dimension == "share" else unit.factor
    ends = tuple(end for figure in figures for end in _ends(figure, is_log))
    return Axis(key, better, f"{_TITLES.get(key, column.title)} ({said})", factor, is_log, ends, 1.0 if column.dimension in ("score", "share") else math.inf)


def _ends(figure: Figure, is_log: bool) -> tuple[float, float]:
    """The interval's ends, the value where there is none that can be drawn."""
    low, high = figure.reach
    return (low, high) if figure.is_bounded and (low > 0 or not is_log) else (figure.value, figure.value)


def staircase(dots: Sequence[Dot], ways: tuple[Better, Better] = ("lower", "higher")) -> list[tuple[float, float]]:
    """Front points, the best across first, that better the best value up so far; `ways` are across and up."""
    across, up = (1 if way == "lower" else -1 for way in ways)
    steps: list[tuple[float, float]] = []
    for dot in sorted((dot for dot in dots if dot.on_front), key=lambda dot: (across * dot.x.value, up * dot.y.value)):
        if not steps or up * dot.y.value < up * steps[-1][1]:
            steps.append((dot.x.value, dot.y.value))
    return steps


def _panel(axes: Axes, group: Group, dots: Sequence[Dot], pair: tuple[Axis, Axis], look: Look) -> list[tuple[float, float]]:
    """Draw a panel; gives the corners of the front's line. `pair`: across and up."""
    across, up = pair
    axes.set_xlabel(across.title)
    axes.grid(visible=True, which="major", color="0.9", linewidth=0.6)
    levels = group.baselines[:1] if up.key == "miou" else ()
    if up.ends:
        _scale(axes, "y", up, [*up.ends, *(baseline.miou for baseline in levels)])
    if not dots:
        axes.text(0.5, 0.5, "no row has both quantities", transform=axes.transAxes, ha="center", color="0.4")
        return []
    _scale(axes, "x", across, across.ends)
    # Runtimes of one model share their FLOP: rings of growing size keep each color visible.
    draw_dots(axes, dots, look, growth=3.5 if all(dot.x.is_exact for dot in dots) else 0.0)
    for baseline in levels:
        axes.axhline(baseline.miou, color="0.35", linestyle="--", linewidth=1, label=f"{baseline.name} (no training): {baseline.miou:.3f}")
    steps = staircase(dots, (across.better, up.better))
    path = [*steps, (axes.get_xlim()[1 if across.better == "lower" else 0], steps[-1][1])]
    axes.step([x for x, _ in path], [y for _, y in path], where="post", color="0.55", linewidth=1.1, zorder=1, label="front")
    return path


def _scale(axes: Axes, which: Literal["x", "y"], axis: Axis, ends: Sequence[float]) -> None:
    if axis.is_log:
        log_axis(axes, which, ends, axis.factor)
    else:
        linear_axis(axes, which, ends, axis.factor, most=axis.most)


def _legend(picture: Picture, panels: Sequence[Axes], look: Look) -> None:
    from matplotlib.lines import Line2D

    dominated = Line2D([], [], marker="o", linestyle="", color="0.4", markerfacecolor="white", label="dominated beyond noise")
    said = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    handles = [*runtime_handles(look), dominated, *said.values()]
    picture.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4 * len(panels)), frameon=False, fontsize=8)
