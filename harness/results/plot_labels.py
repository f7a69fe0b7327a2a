"""Names beside the points of a panel, placed in points (1/72 inch) so that PNG and SVG agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.results.figure import Figure
from harness.results.placement import Box, place_labels
from harness.results.row import Row, telling_keys, text_of
from harness.results.table import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_LABEL = 26
FONT_SIZE = 8.0
# Equal names of points nearer than this are written once.
_SAME_PLACE = 22.0
_POINT_RADIUS = 5.0
# A label further from its point gets a line to it.
_FAR = 15.0


class Dot(NamedTuple):
    """One row on a panel, in base units on both axes."""

    row: Row
    x: Figure
    y: Figure
    on_front: bool


class Spot(NamedTuple):
    """A label to place: its text and the point it names."""

    name: str
    x: float
    y: float


def label_of(row: Row, group: Group) -> str:
    """A short name: the model, its regime, seed and settings where a model has several, its precision where it is not fp32."""
    model = text_of(row, "model")
    alike = [other for other in group.rows if text_of(other, "model") == model]
    said = {"regime": "", "seed": "seed ", "settings": ""}
    parts = [model, *(f"{said[key]}{text_of(row, key)}" for key in telling_keys(alike, said, ("model",)))]
    name = " ".join([*parts, text_of(row, "precision")] if text_of(row, "precision") != "fp32" else parts)
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 11]}..{name[-9:]}"


def staircase(dots: Sequence[Dot]) -> list[tuple[float, float]]:
    """Front points in the order of x that raise the best mIoU so far."""
    steps: list[tuple[float, float]] = []
    for dot in sorted((dot for dot in dots if dot.on_front), key=lambda dot: (dot.x.value, -dot.y.value)):
        if not steps or dot.y.value > steps[-1][1]:
            steps.append((dot.x.value, dot.y.value))
    return steps


def label_points(axes: Axes, dots: Sequence[Dot], group: Group) -> int:
    """Name the points, those on the front first, once where equal names meet; returns how many names found no room."""
    ordered = sorted(dots, key=lambda dot: (not dot.on_front, dot.x.value, -dot.y.value))
    spots = [Spot(label_of(dot.row, group), *_position(axes, dot.x.value, dot.y.value)) for dot in ordered]
    named = _once(spots)
    sizes = [_size(axes, spot.name) for spot in named]
    bars, steps = _bars(axes, dots), _steps(axes, dots)
    anchors = [(spot.x, spot.y) for spot in named]
    boxes = place_labels(anchors, sizes, inside=_frame(axes), taken=_taken(axes, spots, group), wishes=(bars + steps, steps))
    for spot, box in zip(named, boxes, strict=True):
        if box is not None:
            _write(axes, spot, box)
    return sum(box is None for box in boxes)


def _position(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y)) * _points_per_pixel(axes)
    return float(across), float(up)


def _points_per_pixel(axes: Axes) -> float:
    return 72 / float(axes.figure.dpi)


def _once(spots: Sequence[Spot]) -> list[Spot]:
    """The labels without those whose equal is near."""
    kept: list[Spot] = []
    for spot in spots:
        near = (abs(spot.x - other.x) + abs(spot.y - other.y) < _SAME_PLACE for other in kept if other.name == spot.name)
        if not any(near):
            kept.append(spot)
    return kept


def _size(axes: Axes, name: str) -> tuple[float, float]:
    """Width and height of a text with a little air."""
    text = axes.text(0, 0, name, fontsize=FONT_SIZE)
    extent = text.get_window_extent()
    text.remove()
    scale = _points_per_pixel(axes)
    return extent.width * scale + 4, extent.height * scale + 2


def _frame(axes: Axes) -> Box:
    return Box(*(float(edge) * _points_per_pixel(axes) for edge in axes.bbox.extents))


def _taken(axes: Axes, spots: Sequence[Spot], group: Group) -> list[Box]:
    """What labels must not cover: the points and the baseline's line."""
    frame = _frame(axes)
    points = [Box(spot.x - _POINT_RADIUS, spot.y - _POINT_RADIUS, spot.x + _POINT_RADIUS, spot.y + _POINT_RADIUS) for spot in spots]
    levels = [_position(axes, axes.get_xlim()[0], baseline.miou)[1] for baseline in group.baselines[:1]]
    return points + [Box(frame.left, level - 1, frame.right, level + 1) for level in levels]


def _bars(axes: Axes, dots: Sequence[Dot]) -> list[Box]:
    """The vertical error bars."""
    bounded = (dot for dot in dots if dot.y.is_bounded)
    return [_segment(axes, (dot.x.value, dot.y.reach[0]), (dot.x.value, dot.y.reach[1])) for dot in bounded]


def _steps(axes: Axes, dots: Sequence[Dot]) -> list[Box]:
    """The flat parts of the front's line."""
    steps = staircase(dots)
    ends = [x for x, _ in steps[1:]] + [axes.get_xlim()[1]]
    return [_segment(axes, (x, y), (end, y)) for (x, y), end in zip(steps, ends, strict=False)]


def _segment(axes: Axes, first: tuple[float, float], last: tuple[float, float]) -> Box:
    (left, bottom), (right, top) = _position(axes, *first), _position(axes, *last)
    return Box(left - 1, bottom - 1, right + 1, top + 1)


def _write(axes: Axes, spot: Spot, box: Box) -> None:
    """The label in its box, with a thin line to its point where it stands far away."""
    middle = (box.left + 2, (box.bottom + box.top) / 2)
    text = axes.annotate(
        spot.name, xy=middle, xycoords="figure points", fontsize=FONT_SIZE, color="0.15", va="center_baseline", ha="left", zorder=5, gid="label"
    )
    text.set_in_layout(False)
    near = (min(max(spot.x, box.left), box.right), min(max(spot.y, box.bottom), box.top))
    if abs(near[0] - spot.x) + abs(near[1] - spot.y) > _FAR:
        line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
        axes.annotate("", xy=(spot.x, spot.y), xytext=near, xycoords="figure points", textcoords="figure points", arrowprops=line, zorder=1)
