"""What Cryo-Bench publishes of its 16 models, and what a counter that sees attention finds in the same networks.

Facts of the public repository Sk-2103/Cryo-Bench at 41b6115e, measured on its code with fvcore 0.1.5 and torch 2.15: two classes, batch 1.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Published:
    """One model of the benchmark.

    `params` in units; figures in GMAC, 1e9 multiply-adds, of one input: `encoder_gmac` and `gmac` by plain fvcore on the traced model, as
    published; `counted_encoder_gmac` and `counted_gmac` by PyTorch's flop counter. `tile_gmac`: `gmac` times the `windows` of a tile of
    512 px. `why`: what the published figure leaves out.
    """

    reference: str
    model: str
    size: int
    bands: int
    params: int
    encoder_gmac: float
    gmac: float
    windows: int
    tile_gmac: float
    counted_encoder_gmac: float
    counted_gmac: float
    why: str


@functools.cache
def published() -> dict[str, Published]:
    """All 16 models by our name, in the benchmark's order."""
    with (files("harness.support") / "cryo_bench.csv").open(encoding="utf-8") as file:
        return {row["model"]: _published(row) for row in csv.DictReader(file)}


def _published(row: dict[str, str]) -> Published:
    return Published(
        reference=row["reference"],
        model=row["model"],
        size=int(row["size"]),
        bands=int(row["bands"]),
        params=round(float(row["total_params_m"]) * 1e6),
        encoder_gmac=float(row["fvcore_encoder_gmac"]),
        gmac=float(row["fvcore_gmac"]),
        windows=int(row["windows_of_512"]),
        tile_gmac=float(row["fvcore_tile_gmac"]),
        counted_encoder_gmac=float(row["counted_encoder_gmac"]),
        counted_gmac=float(row["counted_gmac"]),
        why=row["why"],
    )
