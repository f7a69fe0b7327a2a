"""Pictures of a report as SVG text: a histogram and bars. Colors come from the page's classes, so that they follow light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 190, 8, 34
MOST_BINS = 40


def histogram(samples: Sequence[float], marks: Sequence[tuple[str, float]], *, factor: float, unit: str) -> str:
    """Counts of samples over a linear axis in `unit` (`factor` base units) with named vertical marks. The widest 1 % goes into the last bin."""
    if len(samples) < 2:
        return ""
    ordered = sorted(samples)
    low, high = ordered[0], max(ordered[math.ceil(0.99 * len(ordered)) - 1], *[value for _, value in marks if value <= 3 * ordered[-1]])
    if high <= low:
        high = low * 1.01 + 1e-12
    bins = min(MOST_BINS, max(5, math.ceil(math.sqrt(len(ordered)))))
    counts = [0] * bins
    for value in ordered:
        counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    span, top = WIDTH - 2 * LEFT, HEIGHT - BOTTOM - 34
    wide, floor = span / bins, HEIGHT - BOTTOM
    parts = []
    for index, count in enumerate(counts):
        tall = top * count / max(counts)
        if count:
            parts.append(f'<rect class="fill" x="{LEFT + index * wide + 0.5:.1f}" y="{floor - tall:.1f}" width="{wide - 1:.1f}" height="{tall:.1f}"/>')
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{floor}" x2="{WIDTH - LEFT}" y2="{floor}"/>')
    for value, anchor in ((low, "start"), ((low + high) / 2, "middle"), (high, "end")):
        place = LEFT + span * (value - low) / (high - low)
        parts.append(f'<text class="tick" x="{place:.1f}" y="{floor + 16}" text-anchor="{anchor}">{value / factor:.4g} {html.escape(unit)}</text>')
    for row, (name, value) in enumerate([one for one in marks if low <= one[1] <= high]):
        place = LEFT + span * (value - low) / (high - low)
        anchor, aside = ("start", 4) if place < WIDTH / 2 else ("end", -4)
        parts.append(f'<line class="mark" x1="{place:.1f}" y1="{14 + 11 * row}" x2="{place:.1f}" y2="{floor}"/>')
        parts.append(f'<text class="tick" x="{place + aside:.1f}" y="{20 + 11 * row}" text-anchor="{anchor}">{html.escape(name)}</text>')
    said = f"Histogram of {len(samples)} latencies from {ordered[0] / factor:.4g} to {ordered[-1] / factor:.4g} {unit}; " + ", ".join(
        f"{name} {value / factor:.4g} {unit}" for name, value in marks
    )
    return _svg(parts, HEIGHT, said)


def bars(rows: Sequence[tuple[str, float, str]], said: str) -> str:
    """Horizontal bars of (name, value >= 0, text), all on one scale from zero."""
    if not rows:
        return ""
    most = max(value for _, value, _ in rows) or 1.0
    parts = []
    for index, (name, value, text) in enumerate(rows):
        top = 6 + 40 * index
        parts.append(f'<text class="tick" x="{LEFT}" y="{top + 10}">{html.escape(name)}: {html.escape(text)}</text>')
        parts.append(f'<rect class="fill" x="{LEFT}" y="{top + 15}" width="{max(1.0, (WIDTH - 2 * LEFT) * value / most):.1f}" height="13"/>')
    return _svg(parts, 40 * len(rows) + 6, said)


def _svg(parts: Sequence[str], height: int, said: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(said, quote=True)}">{"".join(parts)}</svg>'
