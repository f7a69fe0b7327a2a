"""Names beside the points of a panel, placed in points (1/72 inch) so that PNG and SVG agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from harness.results.figure import Figure
from harness.results.placement import Box, place_labels
from harness.results.row import Row, telling_keys, text_of
from harness.results.table import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_LABEL = 26
#: Of more points than this in a panel only those on the front get names, and no more than this: a reader finds none among thousands.
MOST_LABELS = 80
FONT_SIZE = 8.0
# Equal names of points nearer than this are written once.
_SAME_PLACE = 22.0
_POINT_RADIUS = 5.0
# A label further from its point gets a line to it.
_FAR = 15.0


Lines = tuple[Sequence[tuple[float, float]], Sequence[float]]


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
    """A short name: the model, its regime, seed and settings where a model has several, its precision and variant where it is not plain fp32."""
    model = text_of(row, "model")
    alike = [other for other in group.rows if text_of(other, "model") == model]
    said = {"regime": "", "seed": "seed ", "settings": ""}
    parts = [model, *(f"{said[key]}{text_of(row, key)}" for key in telling_keys(alike, said, ("model",)))]
    exported = row.record.cell.exported_as
    name = " ".join(parts if exported == "fp32" else [*parts, exported])
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 11]}..{name[-9:]}"


def label_points(axes: Axes, dots: Sequence[Dot], group: Group, lines: Lines = ((), ())) -> int:
    """Name the points, those on the front first, once where equal names meet; returns how many got no name for want of room.

    `lines`: the corners of the front's line, and the heights of level lines.
    """
    ordered = sorted(dots, key=lambda dot: (not dot.on_front, dot.x.value, -dot.y.value))
    chosen = ordered if len(ordered) <= MOST_LABELS else [dot for dot in ordered if dot.on_front][:MOST_LABELS]
    named = _once([Spot(label_of(dot.row, group), *_position(axes, dot.x.value, dot.y.value)) for dot in chosen])
    sizes = [_size(axes, spot.name) for spot in named]
    bars, steps = _bars(axes, dots), _steps(axes, lines[0])
    anchors = [(spot.x, spot.y) for spot in named]
    boxes = place_labels(anchors, sizes, inside=_frame(axes), taken=_taken(axes, dots, lines[1]), wishes=(bars + steps, steps))
    for spot, box in zip(named, boxes, strict=True):
        if box is not None:
            _write(axes, spot, box)
    return len(ordered) - len(chosen) + sum(box is None for box in boxes)


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


def _taken(axes: Axes, dots: Sequence[Dot], levels: Sequence[float]) -> list[Box]:
    """What labels must not cover: the points and level lines."""
    frame = _frame(axes)
    points = [_position(axes, dot.x.value, dot.y.value) for dot in dots]
    heights = [_position(axes, axes.get_xlim()[0], level)[1] for level in levels]
    around = [Box(x - _POINT_RADIUS, y - _POINT_RADIUS, x + _POINT_RADIUS, y + _POINT_RADIUS) for x, y in points]
    return around + [Box(frame.left, height - 1, frame.right, height + 1) for height in heights]


def _bars(axes: Axes, dots: Sequence[Dot]) -> list[Box]:
    """The error bars."""
    low = axes.get_xlim()[0]
    upright = [_segment(axes, (dot.x.value, dot.y.reach[0]), (dot.x.value, dot.y.reach[1])) for dot in dots if dot.y.is_bounded]
    level = [_segment(axes, (max(low, dot.x.reach[0]), dot.y.value), (dot.x.reach[1], dot.y.value)) for dot in dots if dot.x.is_bounded]
    return upright + level


def _steps(axes: Axes, corners: Sequence[tuple[float, float]]) -> list[Box]:
    """The flat parts of the front's line."""
    return [_segment(axes, start, (end[0], start[1])) for start, end in pairwise(corners)]


def _segment(axes: Axes, first: tuple[float, float], last: tuple[float, float]) -> Box:
    (left, right), (bottom, top) = map(sorted, zip(_position(axes, *first), _position(axes, *last), strict=True))
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
