"""The history of a quantity as a picture: a panel per series, commits from left to right, levels as lines, changes named.

The same records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.results.history import History
from harness.results.history_series import Change, Series
from harness.results.plot import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

MOST_PANELS = 6
MOST_TICKS = 40
_WORSE, _BETTER, _NEITHER = COLORS[1], COLORS[2], "0.35"
#: Heights of the names of changes, in shares of the panel, so that those of near changes stand one below the other.
_HEIGHTS = (1.0, 0.90, 0.80)


def history_picture(found: History) -> Picture:
    """The matplotlib figure, not yet written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    shown = found.series[:MOST_PANELS]
    picture = Picture(figsize=(11.0, 1.6 + 2.6 * max(len(shown), 1)), dpi=150, layout="constrained")
    FigureCanvasAgg(picture)
    picture.suptitle(f"{found.quantity} on {found.machine} ({found.fingerprint[:8]})", fontsize=11)
    marks = _marks(shown)
    panels = picture.subplots(max(len(shown), 1), 1, sharex=True, squeeze=False)[:, 0]
    for axes, series in zip(panels, shown, strict=False):
        _panel(axes, found, series, [marks.index(point.mark) for point in series.points])
    _ticks(panels[-1], marks)
    if not shown:
        panels[0].text(0.5, 0.5, f"no record has {found.quantity}", transform=panels[0].transAxes, ha="center", color="0.4")
    if len(found.series) > len(shown):
        picture.text(0.005, 0.005, f"{len(found.series) - len(shown)} series left out for space; --where narrows them", fontsize=7, color="0.4")
    return picture


def _marks(series: Sequence[Series]) -> list[str]:
    """Every commit or time in the order of its first measurement."""
    points = sorted((point for one in series for point in one.points), key=lambda point: (point.created, point.record))
    return list(dict.fromkeys(point.mark for point in points))


def _panel(axes: Axes, found: History, series: Series, places: Sequence[int]) -> None:
    unit = found.unit_of(series)
    values = [point.figure.value / unit.factor for point in series.points]
    reaches = [point.figure.reach if point.figure.is_bounded else (point.figure.value, point.figure.value) for point in series.points]
    arms = [[value - low / unit.factor for value, (low, _) in zip(values, reaches, strict=True)]]
    arms += [[high / unit.factor - value for value, (_, high) in zip(values, reaches, strict=True)]]
    style: dict[str, Any] = {"marker": "o", "markersize": 4, "linestyle": "", "color": COLORS[0], "elinewidth": 0.9, "capsize": 2}
    axes.errorbar(places, values, yerr=arms, **style)
    for start, end, level in series.levels if series.changes else []:
        axes.plot([places[start] - 0.4, places[end - 1] + 0.4], [level / unit.factor] * 2, color="0.55", linewidth=1.2, zorder=1)
    for number, change in enumerate(series.changes):
        _draw_change(axes, change, (places[change.index - 1] + places[change.index]) / 2, _HEIGHTS[number % len(_HEIGHTS)])
    axes.set_title(series.name, fontsize=9, loc="left")
    axes.set_ylabel(unit.label or found.quantity)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom - 0.05 * (top - bottom), top + 0.3 * (top - bottom))
    axes.grid(visible=True, color="0.9", linewidth=0.6)


def _draw_change(axes: Axes, change: Change, place: float, height: float) -> None:
    color = {True: _WORSE, False: _BETTER, None: _NEITHER}[change.is_worse]
    axes.axvline(place, color=color, linewidth=1.1, linestyle="--", zorder=1)
    text = axes.text(place, height, f" {change.text}", transform=axes.get_xaxis_transform(), fontsize=8, color=color, va="top", ha="left")
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85})


def _ticks(axes: Axes, marks: Sequence[str]) -> None:
    """The marks, some left out where there are many."""
    step = max(1, -(-len(marks) // MOST_TICKS))
    places = range(0, len(marks), step)
    axes.set_xticks(list(places), [marks[place] for place in places], rotation=45, ha="right", fontsize=7, family="monospace")
    axes.set_xlim(-0.8, max(len(marks), 1) - 0.2)
