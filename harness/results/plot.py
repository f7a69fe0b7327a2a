"""The tradeoff as a picture: mIoU against latency and against GFLOP, one figure per group, PNG and SVG.

Filled points are on the front of their panel (rule in `pareto`), pale ones are dominated beyond noise. The step line joins the best
mIoU so far among front points. Colors tell runtimes (Okabe and Ito's palette, safe for color-blind readers), markers tell models.
The same records give the same bytes.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import UnavailableError
from harness.core.files import write_atomic
from harness.results.columns import figure_column
from harness.results.figure import Figure
from harness.results.pareto import front
from harness.results.plot_labels import Dot, label_points, staircase
from harness.results.row import Row, text_of
from harness.results.table import Group, coordinate
from harness.results.units import three_digits, unit_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

PANELS = (("latency", "latency, median (log scale)"), ("forward_flops", "compute per input (log scale)"))
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
STYLE = {"svg.hashsalt": "harness", "font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}


def draw(group: Group, stem: Path, picture_from: Callable[[Group], Picture] | None = None) -> list[Path]:
    """Write `<stem>.png` and `<stem>.svg` and return their paths; by default the tradeoff. Raises UnavailableError without matplotlib."""
    return write_picture(lambda: (picture_from or picture_of)(group), stem)


def write_picture(make: Callable[[], Picture], stem: Path) -> list[Path]:
    """Make a picture in the house's style and write it as `<stem>.png` and `<stem>.svg`. Raises UnavailableError without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UnavailableError("matplotlib is not installed", 'pip install "eo-harness[plot]"')
    import matplotlib as mpl

    settings: Any = {**mpl.rcParamsDefault, **STYLE, "backend": "agg"}
    with mpl.rc_context(settings):
        picture = make()
        return [write_atomic(stem.with_name(stem.name + ending), _bytes(picture, ending)) for ending in (".png", ".svg")]


def picture_of(group: Group) -> Picture:
    """The matplotlib figure, not yet written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(13.0, 5.6), dpi=150, layout="constrained")
    FigureCanvasAgg(picture)
    picture.suptitle(_heading(group), fontsize=11)
    panels = list(zip(picture.subplots(1, 2, sharey=True), PANELS, strict=True))
    dots = [_panel(axes, group, key, title) for axes, (key, title) in panels]
    panels[0][0].set_ylabel("mIoU (bars: 95 % interval)")
    _legend(picture, panels[0][0], group)
    picture.draw_without_rendering()
    # Labels are placed in points of this layout, so it must not move again.
    picture.set_layout_engine("none")
    left_out = sum(label_points(axes, found, group) for (axes, _), found in zip(panels, dots, strict=True))
    if left_out:
        picture.text(0.005, 0.005, f"{left_out} labels left out for space; the table has every row", fontsize=7, color="0.4")
    return picture


def new_picture(group: Group, size: tuple[float, float], panels: int) -> tuple[Picture, list[Axes]]:
    """A figure with the group's heading and its panels side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(picture)
    picture.suptitle(_heading(group), fontsize=11)
    return picture, [picture.add_subplot(1, panels, number + 1) for number in range(panels)]


def dots_of(group: Group, key: str) -> list[Dot]:
    """The rows that have both quantities, with the front of this pair."""
    pairs = [(row, row.entries[key], row.entries["miou"]) for row in group.rows]
    known = [(row, x, y) for row, x, y in pairs if isinstance(x, Figure) and isinstance(y, Figure) and x.value > 0]
    ways = [figure_column(key)[1], figure_column("miou")[1]]
    on_front = front([(coordinate(x), coordinate(y)) for _, x, y in known], ways)
    return [Dot(row, x, y, best) for (row, x, y), best in zip(known, on_front, strict=True)]


def _heading(group: Group) -> str:
    data = f"{group.place.data} {group.place.data_version}".strip()
    return f"{group.place.machine}: {data}, profile {group.place.profile}"


def _bytes(picture: Picture, ending: str) -> bytes:
    content = io.BytesIO()
    metadata = {"Date": None} if ending == ".svg" else {"Software": None}
    picture.savefig(content, format=ending[1:], metadata=metadata)
    return content.getvalue()


def _panel(axes: Axes, group: Group, key: str, title: str) -> list[Dot]:
    dots = dots_of(group, key)
    column = figure_column(key)[0]
    unit = unit_for(column.dimension, (dot.x.value for dot in dots))
    axes.set_xlabel(f"{title}, {unit.label}")
    axes.grid(visible=True, which="major", color="0.9", linewidth=0.6)
    if not dots:
        axes.text(0.5, 0.5, "no row has both quantities", transform=axes.transAxes, ha="center", color="0.4")
        return dots
    log_axis(axes, [edge for dot in dots for edge in _ends(dot.x)], unit.factor)
    # Runtimes of one model share their FLOP: rings of growing size keep each color visible.
    growth = 3.5 if key == "forward_flops" else 0.0
    for dot in sorted(dots, key=lambda dot: -_runtime_index(dot.row, group)):
        draw_dot(axes, dot, group, 7 + growth * _runtime_index(dot.row, group))
    _draw_front(axes, dots)
    for baseline in group.baselines[:1]:
        axes.axhline(baseline.miou, color="0.35", linestyle="--", linewidth=1, label=f"{baseline.name} (no training): {baseline.miou:.3f}")
    return dots


def log_axis(axes: Axes, values: Sequence[float], factor: float) -> None:
    """A log axis of x with plain numbers at 1, 2, 5 and room for labels on the right."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(min(values) / 1.35, max(values) * 2.2)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{float(three_digits(value / factor)):g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(y=0.12)


def draw_dot(axes: Axes, dot: Dot, group: Group, size: float) -> None:
    """A point with its error bars, in the color of its runtime and the shape of its model."""
    color, marker = _color(dot.row, group), _marker(dot.row, group)
    strength = 1.0 if dot.on_front else 0.4
    bars: dict[str, Any] = {"ecolor": color, "elinewidth": 0.9, "alpha": 0.45 * strength + 0.1, "fmt": "none", "zorder": 2}
    axes.errorbar(dot.x.value, dot.y.value, xerr=_arms(dot.x), yerr=_arms(dot.y), **bars)
    face = color if dot.on_front else "white"
    axes.plot([dot.x.value], [dot.y.value], marker=marker, color=color, markerfacecolor=face, markersize=size, alpha=max(strength, 0.7), linestyle="", zorder=3)


def _draw_front(axes: Axes, dots: Sequence[Dot]) -> None:
    steps = staircase(dots)
    if not steps:
        return
    end = axes.get_xlim()[1]
    xs, ys = [x for x, _ in steps] + [end], [y for _, y in steps] + [steps[-1][1]]
    axes.step(xs, ys, where="post", color="0.55", linewidth=1.1, zorder=1, label="front")


def runtime_handles(group: Group) -> list[Any]:
    """What a legend says of the colors of runtimes."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], marker="o", linestyle="", color=_color_at(index), label=name) for index, name in enumerate(_names(group, "runtime"))]


def _legend(picture: Picture, axes: Axes, group: Group) -> None:
    from matplotlib.lines import Line2D

    dominated = Line2D([], [], marker="o", linestyle="", color="0.4", markerfacecolor="white", label="dominated beyond noise")
    handles = [*runtime_handles(group), dominated, *axes.get_legend_handles_labels()[0]]
    picture.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)


def _ends(figure: Figure) -> tuple[float, float]:
    """The interval's ends on a log axis, the value where there is none."""
    low, high = figure.reach
    return (low, high) if low > 0 and math.isfinite(high) else (figure.value, figure.value)


def _arms(figure: Figure) -> list[list[float]]:
    """Lengths of the error bar to both sides, as matplotlib takes them."""
    low, high = figure.reach
    return [[figure.value - low], [high - figure.value]] if math.isfinite(low) and math.isfinite(high) else [[0.0], [0.0]]


def _names(group: Group, key: str) -> list[str]:
    return sorted({text_of(row, key) for row in group.rows})


def _color(row: Row, group: Group) -> str:
    return _color_at(_runtime_index(row, group))


def _runtime_index(row: Row, group: Group) -> int:
    return _names(group, "runtime").index(text_of(row, "runtime"))


def _color_at(index: int) -> str:
    return COLORS[index % len(COLORS)]


def _marker(row: Row, group: Group) -> str:
    return MARKERS[_names(group, "model").index(text_of(row, "model")) % len(MARKERS)]
