"""What `harness profile --layers` prints: the shares of the parts, and the layers that take longest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.core.layers import LayerView, Share

LONGEST = 10


def layer_lines(record: Path) -> list[str]:
    """Tables of parts, stages and the longest layers of the view beside a record; one line where there is none."""
    view, reason = _view(record)
    if view is None:
        return [f"  {reason}"]
    from harness.core.layers import grouped

    lines = [f"  layers of {view.backend}: {view.seconds * 1e3:.3g} ms, by {view.source}; {view.runs} runs, batch {view.batch}"]
    if view.weights:
        lines.append("  weights in the artifact: " + ", ".join(f"{part} {size / 1e6:.2f} MB" for part, size in view.weights.items()))
    for title, shares in (("part", grouped(view, lambda layer: layer.part)), ("stage", grouped(view, lambda layer: layer.stage))):
        lines += _table(title, shares, view.seconds)
    longest = sorted(grouped(view, lambda layer: f"{layer.path} [{layer.kind}]"), key=lambda share: -share.seconds)[:LONGEST]
    return [*lines, *_table("longest layers", tuple(longest), view.seconds)]


def layer_facts(record: Path) -> dict[str, Any]:
    """The same for programs: every layer, and the shares of the parts."""
    from harness.core.layers import grouped

    view, reason = _view(record)
    if view is None:
        return {"missing": reason}
    return {**view.model_dump(mode="json"), "parts": [share.model_dump(mode="json") for share in grouped(view, lambda layer: layer.part)]}


def _view(record: Path) -> tuple[LayerView | None, str]:
    from harness.core.errors import MeasurementError
    from harness.core.layers import layers_path, read_view

    try:
        return read_view(record), ""
    except MeasurementError as error:
        why = layers_path(record).with_suffix(".txt")
        return None, why.read_text(encoding="utf-8").strip() if why.is_file() else error.message


def _table(title: str, shares: tuple[Share, ...], total: float) -> list[str]:
    width = max(len(title), *(len(share.name) for share in shares)) if shares else len(title)
    head = f"  {title:<{width}}  {'ms':>9}  {'share':>6}  {'GFLOP':>8}  {'GFLOP/s':>8}  {'out MB':>7}"
    rows = [head]
    for share in shares:
        flops = f"{share.flops / 1e9:.4g}" if share.flops is not None else "-"
        rate = f"{share.flops / share.seconds / 1e9:.3g}" if share.flops and share.seconds else "-"
        part = share.seconds / total if total else 0.0
        rows.append(f"  {share.name:<{width}}  {share.seconds * 1e3:9.3f}  {part:6.1%}  {flops:>8}  {rate:>8}  {share.output_bytes / 1e6:7.2f}")
    return [*rows, ""]
