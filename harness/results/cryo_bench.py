"""Cryo-Bench's 16 models: mIoU as published beside multiply-adds counted by us, each published average and rank checked against its row.

`python -m harness.results.cryo_bench FOLDER` writes cryo_bench.md and cryo_bench.csv. Sources: `cryo_bench_miou.csv`, the table in the
README of Sk-2103/Cryo-Bench (MIT license) at 41b6115e: frozen encoders, all training labels, UPerNet; U-Net and ViT from scratch; and
`harness.support.cryo_bench`, our counts on the same networks.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from harness.core.files import write_atomic
from harness.support.cryo_bench import Published, published

SETS = ("GLID", "GLD", "SICD", "CaFFe", "GSDD")
#: Half of the last digit that is printed, and room for how binary numbers hold it.
_ROUNDING = 0.005 + 1e-9
_NOTES = (
    "mIoU (%), average and rank: as published, one run each, no intervals. Not measured by us.",
    "GMAC: 1e9 multiply-adds of one input at the size given, batch 1, two classes; convolutions and matrix products, attention included. Counted by us.",
    "GMAC by its profiler: what fvcore counts in the traced model, as the benchmark's own profiler does, run by us on its code.",
    "GMAC per tile: counted by us, times the sliding windows that cover a tile of 512 px.",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One model. `average` and `rank` follow from the scores; `said_average` and `said_rank` are as published."""

    name: str
    scores: tuple[float, ...]
    average: float
    rank: float
    said_average: float
    said_rank: float
    counted: Published

    @property
    def average_is_right(self) -> bool:
        return abs(self.average - self.said_average) <= _ROUNDING

    @property
    def rank_is_right(self) -> bool:
        return abs(self.rank - self.said_rank) <= _ROUNDING


def lines() -> tuple[Line, ...]:
    """All models in the benchmark's order. A rank is the mean over the sets of 1 + the number of models that score higher there."""
    with (files("harness.results") / "cryo_bench_miou.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    scores = [tuple(float(row[name]) for name in SETS) for row in rows]
    counted = {item.reference: item for item in published().values()}
    return tuple(
        Line(
            name=row["model"],
            scores=own,
            average=sum(own) / len(own),
            rank=sum(_place(own, scores, index) for index in range(len(SETS))) / len(SETS),
            said_average=float(row["avg_miou_as_published"]),
            said_rank=float(row["avg_rank_as_published"]),
            counted=counted[row["model"]],
        )
        for row, own in zip(rows, scores, strict=True)
    )


def _place(own: Sequence[float], scores: Sequence[Sequence[float]], index: int) -> int:
    return 1 + sum(other[index] > own[index] for other in scores)


def render_markdown(found: Sequence[Line]) -> str:
    """The table with wrong averages and ranks struck through beside the right value, and notes."""
    head = ("model", "size (px)", *SETS, "average", "mean rank", "params (M)", "GMAC", "GMAC by its profiler", "GMAC per tile")
    rules = ["---", *["---:"] * (len(head) - 1)]
    table = [f"| {' | '.join(cells)} |" for cells in (head, rules, *(_cells(line) for line in found))]
    why = [f"- {line.name}: {line.counted.why}" for line in found if line.counted.why]
    parts = ["# Cryo-Bench, as published and as counted", *_NOTES, "\n".join(table), *_wrong(found), "Why the profiler counts less:", "\n".join(why)]
    return "\n\n".join(parts) + "\n"


def _cells(line: Line) -> list[str]:
    average = f"{line.said_average:.2f}" if line.average_is_right else f"~~{line.said_average:.2f}~~ **{line.average:.2f}**"
    rank = f"{line.said_rank:.2f}" if line.rank_is_right else f"~~{line.said_rank:.2f}~~ **{line.rank:.2f}**"
    counted = line.counted
    figures = (counted.params / 1e6, counted.counted_gmac, counted.gmac, counted.counted_gmac * counted.windows)
    return [line.name, str(counted.size), *(f"{score:.2f}" for score in line.scores), average, rank, *(f"{figure:.1f}" for figure in figures)]


def _wrong(found: Sequence[Line]) -> list[str]:
    """A sentence per published value that does not follow from its row."""
    averages = [
        f"{line.name}: the published average {line.said_average:.2f} does not follow from its row, whose average is {line.average:.2f}."
        for line in found
        if not line.average_is_right
    ]
    ranks = [
        f"{line.name}: the published mean rank {line.said_rank:.2f} does not follow from the table, which gives {line.rank:.2f}."
        for line in found
        if not line.rank_is_right
    ]
    return [*averages, *ranks] or ["Every published average and mean rank follows from the rows."]


def render_csv(found: Sequence[Line]) -> str:
    """The same for programs: mIoU in percent, GMAC in 1e9, empty where nothing has to be said."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    start = ("model", "harness_model", "input_px", *(f"miou_{name}_as_published" for name in SETS))
    checks = ("average_as_published", "average", "average_is_right", "mean_rank_as_published", "mean_rank", "mean_rank_is_right")
    writer.writerow([*start, *checks, "parameters", "gmac", "encoder_gmac", "gmac_by_its_profiler", "windows_of_512", "tile_gmac", "why_its_profiler_differs"])
    for line in found:
        counted = line.counted
        judged = [line.said_average, round(line.average, 3), line.average_is_right, line.said_rank, round(line.rank, 3), line.rank_is_right]
        macs = [counted.counted_gmac, counted.counted_encoder_gmac, counted.gmac, counted.windows, round(counted.counted_gmac * counted.windows, 3)]
        writer.writerow([line.name, counted.model, counted.size, *line.scores, *judged, counted.params, *macs, counted.why])
    return text.getvalue()


def write(folder: Path) -> list[Path]:
    """Write both files and return their paths."""
    found = lines()
    texts = {"cryo_bench.md": render_markdown(found), "cryo_bench.csv": render_csv(found)}
    return [write_atomic(folder / name, text) for name, text in texts.items()]


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("bench_results/tables"))
