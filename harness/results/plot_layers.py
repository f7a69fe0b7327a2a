"""Where the time of a call goes, as a picture: a panel per row of the table, a bar per stage in the order in which stages run.

The view comes from `harness profile --layers`, whose instruments slow a call down: shares are to be read, not sums. The same views give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.layers import LayerView, Share, grouped, layers_path, read_view
from harness.results.plot import COLORS
from harness.results.plot_labels import label_of
from harness.results.row import Row, text_of
from harness.results.store import record_path
from harness.results.table import Group
from harness.results.units import three_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

MOST_PANELS = 8
MOST_BARS = 14
_ACROSS = 2
PARTS = {"encoder": COLORS[0], "neck": COLORS[5], "decoder": COLORS[1], "other": "0.6"}
REST = "the rest"


def layers_picture(group: Group, views: Mapping[str, LayerView]) -> Picture:
    """The matplotlib figure of the rows that have a view, by the id of their record."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    rows = [row for row in group.rows if row.record.id in views]
    shown = rows[:MOST_PANELS]
    bars = [bars_of(views[row.record.id]) for row in shown]
    across = min(_ACROSS, max(len(shown), 1))
    down = math.ceil(max(len(shown), 1) / across)
    heights = [0.9 + 0.24 * max((len(one) for one in bars[start : start + across]), default=3) for start in range(0, max(len(bars), 1), across)]
    picture = Picture(figsize=(7.2 * across, 1.2 + sum(heights)), dpi=150, layout="constrained")
    FigureCanvasAgg(picture)
    picture.suptitle(f"{group.place.machine}: time of one call by stage", fontsize=11)
    panels = list(picture.subplots(down, across, squeeze=False, gridspec_kw={"height_ratios": heights}).flat)
    for axes in panels:
        axes.set_axis_off()
    for axes, row, shares in zip(panels, shown, bars, strict=False):
        axes.set_axis_on()
        _panel(axes, f"{label_of(row, group)}, {text_of(row, 'runtime')}, batch {row.record.cell.batch}", views[row.record.id], shares)
    _ending(picture, shown, {part for shares in bars for part, _ in shares}, len(rows))
    return picture


def views_of(group: Group, records: Path) -> dict[str, LayerView]:
    """The views that lie beside the records of a folder, by the id of the record."""
    places = {row.record.id: record_path(records, row.record) for row in group.rows}
    return {name: read_view(path) for name, path in places.items() if layers_path(path).is_file()}


def bars_of(view: LayerView) -> tuple[tuple[str, Share], ...]:
    """(part, share) of each stage, part by part in the order in which they first run; without an encoder's and decoder's names, of each kind.

    Where there are many, those that take least are one share at the end.
    """
    has_parts = any(layer.part != "other" for layer in view.layers)
    key = (lambda layer: f"{layer.part}:{layer.stage}") if has_parts else (lambda layer: f"other:{layer.kind}")
    shares = [(share.name.partition(":")[0], share.model_copy(update={"name": share.name.partition(":")[2]})) for share in grouped(view, key)]
    shares.sort(key=lambda item: list(PARTS).index(item[0]))
    kept = {share.name for _, share in sorted(shares, key=lambda item: -item[1].seconds)[: MOST_BARS - 1]}
    if len(shares) <= MOST_BARS:
        return tuple(shares)
    small = [share for _, share in shares if share.name not in kept]
    flops = None if any(share.flops is None for share in small) else sum(share.flops or 0 for share in small)
    rest = Share(
        name=REST,
        layers=sum(share.layers for share in small),
        seconds=sum(share.seconds for share in small),
        flops=flops,
        output_bytes=sum(share.output_bytes for share in small),
    )
    return (*(item for item in shares if item[1].name in kept), ("other", rest))


def _panel(axes: Axes, title: str, view: LayerView, shares: Sequence[tuple[str, Share]]) -> None:
    total = view.seconds or 1.0
    widths = [share.seconds * 1e3 for _, share in shares]
    axes.barh(range(len(shares)), widths, color=[PARTS[part] for part, _ in shares], height=0.72)
    for place, (_, share) in enumerate(shares):
        axes.text(share.seconds * 1e3 + 0.01 * max(widths), place, _text(share, total), va="center", ha="left", fontsize=7.5, color="0.2")
    axes.set_yticks(range(len(shares)), [share.name for _, share in shares], fontsize=7.5)
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set_xlim(0, 1.5 * max([*widths, 1e-9]))
    axes.set_xlabel("ms, with the instrument", fontsize=8)
    axes.set_title(f"{title}: {three_digits(1e3 * view.seconds)} ms", fontsize=9, loc="left")
    axes.grid(visible=True, axis="x", color="0.9", linewidth=0.6)


def _text(share: Share, total: float) -> str:
    """Share of the time, and the rate where FLOP are known and there are some."""
    part = f"{share.seconds / total:.0%}" if share.seconds >= 0.01 * total else "<1%"
    return f"{part}, {three_digits(share.flops / share.seconds / 1e9)} GFLOP/s" if share.flops and share.seconds else part


def _ending(picture: Picture, shown: Sequence[Row], parts: set[str], count: int) -> None:
    from matplotlib.patches import Patch

    if shown:
        handles = [Patch(color=color, label=part) for part, color in PARTS.items() if part in parts]
        picture.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    else:
        picture.text(0.5, 0.5, "no row has a view of its layers: harness profile SUBJECT --layers", ha="center", color="0.4")
    if count > len(shown):
        picture.text(0.005, 0.005, f"{count - len(shown)} rows left out for space; --where narrows them", fontsize=7, color="0.4")
