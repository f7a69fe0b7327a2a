"""How every picture of rows looks: PNG and SVG of the same bytes for the same records, colors of runtimes, markers of models, axes with units.

Colors are Okabe and Ito's palette, safe for color-blind readers.
"""

from __future__ import annotations

import importlib.util
import io
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness.core.errors import UnavailableError
from harness.core.files import write_atomic
from harness.results.figure import Figure
from harness.results.plot_labels import Dot
from harness.results.row import Row, text_of
from harness.results.table import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
STYLE = {
    "svg.hashsalt": "harness",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.parse_math": False,  # a $ in a name is a $
}


def draw(group: Group, stem: Path, picture_from: Callable[[Group], Picture]) -> list[Path]:
    """Write `<stem>.png` and `<stem>.svg` and return their paths. Raises UnavailableError without matplotlib."""
    return write_picture(lambda: picture_from(group), stem)


def write_picture(make: Callable[[], Picture], stem: Path) -> list[Path]:
    """Make a picture in the house's style and write it as `<stem>.png` and `<stem>.svg`. Raises UnavailableError without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UnavailableError("matplotlib is not installed", 'pip install "eo-harness[plot]"')
    import matplotlib as mpl

    settings: Any = {**mpl.rcParamsDefault, **STYLE, "backend": "agg"}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a name in a script that the font lacks is drawn as boxes
        picture = make()
        return [write_atomic(stem.with_name(stem.name + ending), _bytes(picture, ending)) for ending in (".png", ".svg")]


def new_picture(group: Group, size: tuple[float, float], panels: int) -> tuple[Picture, list[Axes]]:
    """A figure with the group's heading and its panels side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(picture)
    picture.suptitle(_heading(group), fontsize=11)
    return picture, [picture.add_subplot(1, panels, number + 1) for number in range(panels)]


def _heading(group: Group) -> str:
    data = f"{group.place.data} {group.place.data_version}".strip()
    return f"{group.place.machine}: {data}, profile {group.place.profile}"


def _bytes(picture: Picture, ending: str) -> bytes:
    content = io.BytesIO()
    metadata = {"Date": None} if ending == ".svg" else {"Software": None}
    picture.savefig(content, format=ending[1:], metadata=metadata)
    return content.getvalue()


def log_axis(axes: Axes, which: Literal["x", "y"], ends: Sequence[float], factor: float = 1.0) -> None:
    """A log axis with plain numbers at 1, 2, 5 of the unit that is `factor` base units, and room for labels on the right."""
    from matplotlib.ticker import LogLocator

    low, high = min(ends) / 1.35, max(ends) * (2.2 if which == "x" else 1.35)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    _ticks(axes, which, [tick * factor for tick in LogLocator(base=10, subs=(1.0, 2.0, 5.0)).tick_values(low / factor, high / factor)], factor)


def linear_axis(axes: Axes, which: Literal["x", "y"], ends: Sequence[float], factor: float = 1.0, *, most: float = math.inf) -> None:
    """The same for an axis that is not logarithmic, with no number beyond `most`, the largest value that there can be."""
    from matplotlib.ticker import MaxNLocator

    span = max(ends) - min(ends) or 0.1 * abs(max(ends)) or 1.0
    low, high = min(ends) - 0.12 * span, max(ends) + (0.35 if which == "x" else 0.12) * span
    axes.set(**{f"{which}lim": (low, high)})
    found = MaxNLocator(nbins=8, steps=[1, 2, 5, 10]).tick_values(low / factor, high / factor)
    _ticks(axes, which, [tick * factor for tick in found if tick * factor <= most * (1 + 1e-9)], factor)


def _ticks(axes: Axes, which: Literal["x", "y"], ticks: Sequence[float], factor: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value / factor, 9):.6g}"))


class Look(NamedTuple):
    """The number of each runtime, which its color tells, and of each model, which its marker tells."""

    runtimes: dict[str, int]
    models: dict[str, int]

    def runtime_of(self, row: Row) -> int:
        return self.runtimes[text_of(row, "runtime")]

    def marker_of(self, row: Row) -> str:
        return MARKERS[self.models[text_of(row, "model")] % len(MARKERS)]


def look_of(group: Group) -> Look:
    """The look of the rows of a group, the same in each of its pictures."""
    runtimes, models = (sorted({text_of(row, key) for row in group.rows}) for key in ("runtime", "model"))
    return Look({name: index for index, name in enumerate(runtimes)}, {name: index for index, name in enumerate(models)})


def draw_dots(axes: Axes, dots: Iterable[Dot], look: Look, growth: float = 0.0) -> None:
    """Points with error bars, in the color of their runtime and the shape of their model; `growth`: by how much later runtimes are larger."""
    alike: dict[tuple[int, bool, str], list[Dot]] = defaultdict(list)
    for dot in dots:
        alike[-look.runtime_of(dot.row), dot.on_front, look.marker_of(dot.row)].append(dot)
    for (number, on_front, marker), own in sorted(alike.items()):
        _draw_alike(axes, own, {"color": _color_at(-number), "marker": marker, "markersize": 7 - growth * number}, on_front)


def _draw_alike(axes: Axes, dots: Sequence[Dot], style: dict[str, Any], on_front: bool) -> None:
    color, strength = style["color"], 1.0 if on_front else 0.4
    xs, ys = [dot.x.value for dot in dots], [dot.y.value for dot in dots]
    bars: dict[str, Any] = {"ecolor": color, "elinewidth": 0.9, "alpha": 0.45 * strength + 0.1, "fmt": "none", "zorder": 2}
    axes.errorbar(xs, ys, xerr=_arms([dot.x for dot in dots]), yerr=_arms([dot.y for dot in dots]), **bars)
    axes.plot(xs, ys, markerfacecolor=color if on_front else "white", alpha=max(strength, 0.7), linestyle="", zorder=3, **style)


def runtime_handles(look: Look) -> list[Any]:
    """What a legend says of the colors of runtimes."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], marker="o", linestyle="", color=_color_at(index), label=name) for name, index in look.runtimes.items()]


def _arms(figures: Sequence[Figure]) -> list[list[float]]:
    """Lengths of the error bars to both sides, as matplotlib takes them."""
    ends = [(figure.value, *(figure.reach if figure.is_bounded else (figure.value, figure.value))) for figure in figures]
    return [[value - low for value, low, _ in ends], [high - value for value, _, high in ends]]


def _color_at(index: int) -> str:
    return COLORS[index % len(COLORS)]
