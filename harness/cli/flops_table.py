"""How `harness flops` draws its counts: for a terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from harness.support.counters import ModelCount

HEAD = ("model", "input", "params M", "encoder G", "decoder G", "total G", "fvcore G", "graph G", "agree", "inputs", "tile G", "published G")
GIGA, MEGA = 1e9, 1e6
CAPTION = (
    "G: 1e9 multiply-adds (2 FLOP each) of one input; encoder, decoder and total by PyTorch's flop counter. agree: three counters within 1 %. "
    "inputs: how many cover a tile of {tile} px. published: Cryo-Bench's tool, fvcore on the traced model."
)


def object_of(count: ModelCount) -> dict[str, Any]:
    """As JSON has it; GMAC are 1e9 multiply-adds, absent figures null."""
    published = count.published
    return {
        "model": count.model,
        "input": [1, len(count.bands), count.size, count.size],
        "bands": list(count.bands),
        "params_encoder": count.encoder_params,
        "params_total": count.params,
        "gmac_encoder": count.encoder_macs / GIGA,
        "gmac_total": count.macs / GIGA,
        "tile": count.tile,
        "windows": count.windows,
        "gmac_tile": count.tile_macs / GIGA,
        "gmac_published": published and published.gmac,
        "counters": {
            **{name: None if macs is None else macs / GIGA for name, macs in count.counters.items()},
            "spread": count.spread,
            "agree": count.agree,
            "missing": count.missing,
        },
        "note": note_on(count),
    }


def note_on(count: ModelCount) -> str:
    """Why the published figure, or the reference's, is another; why a counter is missing; "" where nothing needs a word."""
    notes = [f"{name} can't count: {reason}" for name, reason in count.missing.items()]
    published = count.published
    if published is None:
        return "; ".join(notes)
    if published.why:
        notes.append(f"published {published.gmac:.3f}: {published.why}")
    saved = published.counted_gmac - count.macs / GIGA
    if saved > 0.001 * published.counted_gmac:
        ours, theirs = count.encoder_macs / GIGA, published.counted_encoder_gmac
        notes.append(f"encoder {ours:.3f} instead of {theirs:.3f}: layers whose features nobody uses are not run")
    return "; ".join(notes)


def cells_of(count: ModelCount) -> tuple[str, ...]:
    """One row, as `HEAD` has it."""
    fvcore, graph = (count.counters[name] for name in ("fvcore", "exported_graph"))
    return (
        count.model,
        f"{len(count.bands)}x{count.size}x{count.size}",
        _said(count.params, MEGA),
        _said(count.encoder_macs),
        _said(count.macs - count.encoder_macs),
        _said(count.macs),
        _said(fvcore),
        _said(graph),
        {True: "yes", False: f"no, {count.spread:.1%}", None: "?"}[count.agree],
        str(count.windows),
        _said(count.tile_macs),
        f"{count.published.gmac:.3f}" if count.published else "-",
    )


def _said(figure: int | None, unit: float = GIGA) -> str:
    return "-" if figure is None else f"{figure / unit:.3f}"


def terminal(counts: Sequence[ModelCount]) -> RenderableType:
    """A rich table with the notes under it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in HEAD:
        table.add_column(name, justify="left" if name in ("model", "input", "agree") else "right", overflow="fold")
    for count in counts:
        table.add_row(*cells_of(count))
    notes = [f"{count.model}: {note}" for count in counts if (note := note_on(count))]
    return Group(table, Text(""), Text(CAPTION.format(tile=counts[0].tile), style="dim"), *(Text(note) for note in notes))


def markdown(counts: Sequence[ModelCount]) -> str:
    """A table and a list of notes."""
    lines = [_row(HEAD), _row(["---", "---", *["--:"] * (len(HEAD) - 2)]), *(_row(cells_of(count)) for count in counts)]
    notes = [f"- {count.model}: {note}" for count in counts if (note := note_on(count))]
    return "\n".join([*lines, "", CAPTION.format(tile=counts[0].tile), *(["", *notes] if notes else []), ""])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_csv(counts: Sequence[ModelCount]) -> str:
    """The JSON's figures, a column for each counter."""
    text = io.StringIO()
    rows = [_flat(object_of(count)) for count in counts]
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    counters = found["counters"]
    shared = {key: value for key, value in found.items() if key not in ("counters", "note")}
    shared |= {"input": "x".join(map(str, found["input"])), "bands": " ".join(found["bands"])}
    by_counter = {f"gmac_{name}": counters[name] for name in ("flop_counter", "fvcore", "exported_graph")}
    return {**shared, **by_counter, "agree": counters["agree"], "note": found["note"]}
