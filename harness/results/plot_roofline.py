"""The roofline: achieved FLOP/s against FLOP per byte, under what this machine reached itself (Williams, Waterman and Patterson 2009).

The roof is the smaller of peak FLOP/s and peak B/s times intensity, from the peaks that the probe `roofline` took in turns with the models: one
roof per fingerprint, number of threads and precision, of the best peaks that a shown record has. The same records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from harness.results.figure import Figure, figure_from_outcome
from harness.results.plot import draw_dots, log_axis, look_of, new_picture, runtime_handles
from harness.results.plot_labels import Dot, label_points
from harness.results.table import Group
from harness.results.units import three_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

GIGA = 1e9
_STYLES = ("-", "--", ":", "-.")


class _Place(NamedTuple):
    """What a peak is of."""

    device: str
    threads: int
    precision: str
    fingerprint: str


class Roof(NamedTuple):
    """Best peaks in FLOP/s and B/s."""

    name: str
    flops: float
    bandwidth: float

    def at(self, intensity: float) -> float:
        return min(self.flops, self.bandwidth * intensity)


def roofline_picture(group: Group) -> Picture:
    """The matplotlib figure, not yet written."""
    picture, (axes,) = new_picture(group, (9.0, 6.0), 1)
    dots, roofs = dots_of(group), roofs_of(group)
    axes.set(xlabel="FLOP per byte of weights, input and output (log scale)", ylabel="GFLOP/s achieved (log scale)")
    if not dots:
        axes.text(0.5, 0.5, "no row has these figures: add the probe roofline to the profile", transform=axes.transAxes, ha="center", color="0.4")
        return picture
    _scales(axes, dots, roofs)
    for number, roof in enumerate(roofs):
        _draw_roof(axes, roof, _STYLES[number % len(_STYLES)])
    look = look_of(group)
    draw_dots(axes, dots, look)
    picture.legend(handles=[*runtime_handles(look), *axes.get_legend_handles_labels()[0]], loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    picture.draw_without_rendering()
    picture.set_layout_engine("none")  # labels are placed in points of this layout, so it must not move again
    left_out = label_points(axes, dots, group)
    if left_out:
        picture.text(0.005, 0.005, f"{left_out} labels left out for space; the table has every row", fontsize=7, color="0.4")
    return picture


def dots_of(group: Group) -> list[Dot]:
    """The rows that have both quantities."""
    dots = []
    for row in group.rows:
        x, y = (figure_from_outcome(row.record.outcome(name)) for name in ("arithmetic_intensity", "achieved_flops"))
        if isinstance(x, Figure) and isinstance(y, Figure) and x.value > 0 and y.value > 0:  # the axes are logarithmic
            dots.append(Dot(row, x, y, on_front=True))
    return dots


def roofs_of(group: Group) -> list[Roof]:
    """One per place, named by what tells them apart. The bytes per second are those of the machine, whatever the precision."""
    flops: dict[_Place, float] = {}
    bandwidth: dict[_Place, float] = {}
    for row in group.rows:
        measured = row.record.measured("achieved_flops")
        if measured is not None and {"peak_flops", "peak_bandwidth"} <= measured.detail.keys():
            cell, detail = row.record.cell, measured.detail
            place = _Place(cell.device, cell.threads, str(detail.get("peak_precision", "fp32")), row.record.environment.fingerprint)
            flops[place] = max(flops.get(place, 0.0), float(detail["peak_flops"]))
            machine = place._replace(precision="")
            bandwidth[machine] = max(bandwidth.get(machine, 0.0), float(detail["peak_bandwidth"]))
    return [Roof(_roof_name(place, flops), flops[place], bandwidth[place._replace(precision="")]) for place in sorted(flops)]


def _roof_name(place: _Place, places: Iterable[_Place]) -> str:
    others = [other for other in places if other != place]
    name = f"in {place.precision}" + (f" on {place.device}" if any(other.device != place.device for other in others) else "")
    name += f" with {place.threads} thread{'s' * (place.threads != 1)}"
    return f"{name}, {place.fingerprint[:8]}" if any(other[:3] == place[:3] for other in others) else name


def _scales(axes: Axes, dots: list[Dot], roofs: list[Roof]) -> None:
    """Log axes that hold the points and the ridge of each roof."""
    ridges = [roof.flops / roof.bandwidth for roof in roofs]
    log_axis(axes, "x", [*(dot.x.value for dot in dots), *(ridge / 2 for ridge in ridges)])
    left = axes.get_xlim()[0]
    heights = [dot.y.value for dot in dots]
    log_axis(axes, "y", [*heights, *(roof.at(left) for roof in roofs), *(roof.flops for roof in roofs)], GIGA)
    axes.grid(visible=True, which="major", color="0.9", linewidth=0.6)


def _draw_roof(axes: Axes, roof: Roof, style: str) -> None:
    left, right = axes.get_xlim()
    xs = [left, max(left, min(right, roof.flops / roof.bandwidth)), right]
    said = f"reached here {roof.name}: {three_digits(roof.flops / GIGA)} GFLOP/s, {three_digits(roof.bandwidth / GIGA)} GB/s"
    axes.plot(xs, [roof.at(x) for x in xs], color="0.35", linestyle=style, linewidth=1.2, zorder=1, label=said)
