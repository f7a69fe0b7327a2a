"""Scores of predictors that need no training: what a model must beat to mean anything.

They come with the mIoU: `Measurement.detail["baselines"]` is {name: mIoU} over the same tiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from harness.core.record import ProfileRecord


class Baseline(NamedTuple):
    """A named predictor and its mIoU."""

    name: str
    miou: float


def baselines_of(records: Iterable[ProfileRecord]) -> tuple[Baseline, ...]:
    """Each baseline that the records name, best first; one that differs between records (other tiles) appears with each value."""
    found = {
        Baseline(str(name), round(float(value), 9))
        for record in records
        if (miou := record.measured("miou")) is not None
        for name, value in miou.detail.get("baselines", {}).items()
    }
    return tuple(sorted(found, key=lambda baseline: (-baseline.miou, baseline.name)))


def said(baselines: Iterable[Baseline]) -> str:
    """One sentence for under a table, empty without baselines."""
    named = ", ".join(f"{baseline.name} {baseline.miou:.3f}" for baseline in baselines)
    return f"A model must beat these predictors without training (mIoU): {named}." if named else ""
