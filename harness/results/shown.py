"""One figure of a quantity for people: value and unit."""

from __future__ import annotations

from harness.core.quantity import quantity
from harness.results.units import Dimension, human, unit_for

_DIMENSIONS: dict[str, Dimension] = {
    "s": "time",
    "B": "bytes",
    "FLOP": "flop",
    "px/s": "rate",
    "J": "energy",
    "count": "count",
    "ratio": "score",
}


def dimension_of(name: str) -> Dimension | None:
    """How a quantity is shown, None where only its base unit is known."""
    return _DIMENSIONS.get(quantity(name).unit)


def shown(name: str, value: float | None, other: float | None = None) -> str:
    """A figure with its unit; both figures of a change in the same unit."""
    if value is None:
        return "-"
    dimension = dimension_of(name)
    if dimension is None:
        return f"{value:.4g} {quantity(name).unit}"
    if dimension == "score":
        short = f"{value:.4f}"
        return f"{value:.7f}" if short == "1.0000" and value != 1 else short  # only 1 is 1
    unit = unit_for(dimension, [one for one in (value, other) if one is not None])
    return f"{human(value, dimension, unit)} {unit.label}".strip()
