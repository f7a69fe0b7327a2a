"""Figures for people: the unit of a column and three significant digits. Every other file keeps base units."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

_OfModel = Literal["text", "time", "bytes", "flop", "mac", "count", "rate", "score", "share", "change", "ratio"]
_OfArea = Literal["area_rate", "duration", "energy", "money", "mass"]
Dimension = _OfModel | _OfArea


class Unit(NamedTuple):
    """`factor` base units make one; it is taken where every value of the column is at least `smallest` of it."""

    label: str
    factor: float
    smallest: float = 0.0


_LADDERS: dict[str, tuple[Unit, ...]] = {
    "time": (Unit("s", 1.0, 1.0), Unit("ms", 1e-3, 0.1), Unit("us", 1e-6)),
    "bytes": (Unit("GB", 1e9, 1.0), Unit("MB", 1e6, 0.01), Unit("kB", 1e3)),
    "flop": (Unit("GFLOP", 1e9, 0.001), Unit("MFLOP", 1e6)),
    "mac": (Unit("GMAC", 1e9, 0.0005), Unit("MMAC", 1e6)),
    "count": (Unit("M", 1e6, 0.001), Unit("k", 1e3)),
    "rate": (Unit("Mpx/s", 1e6, 0.001), Unit("px/s", 1.0)),
    "ratio": (Unit("x", 1.0),),
    "area_rate": (Unit("km2/s", 1.0, 0.1), Unit("m2/s", 1e-6)),
    "duration": (Unit("d", 86400.0, 10.0), Unit("h", 3600.0, 1.0), Unit("min", 60.0, 1.0), Unit("s", 1.0)),
    "energy": (Unit("MWh", 3.6e9, 1.0), Unit("kWh", 3.6e6, 0.01), Unit("J", 1.0, 0.1), Unit("mJ", 1e-3)),
    "mass": (Unit("t", 1e6, 1.0), Unit("kg", 1e3, 0.1), Unit("g", 1.0)),
    "share": (Unit("%", 1.0),),
}
_NONE = Unit("", 1.0)


def unit_for(dimension: Dimension, values: Iterable[float]) -> Unit:
    """One unit for a whole column, chosen by its smallest value, so that figures of a column compare at sight."""
    ladder = _LADDERS.get(dimension, (_NONE,))
    smallest = min((abs(value) for value in values if value), default=math.inf)
    if math.isinf(smallest):
        return next((unit for unit in ladder if unit.label in {"ms", "MB", "h", "J", "kg"}), ladder[0])
    return next((unit for unit in ladder if smallest >= unit.smallest * unit.factor), ladder[-1])


def human(value: float, dimension: Dimension, unit: Unit) -> str:
    """A base-unit value in `unit`, as a table shows it."""
    if dimension == "score":
        return f"{value:.3f}"
    if dimension == "change":
        return f"{value + 0.0:.4f}".replace("-0.0000", "0.0000")
    if dimension == "share":
        return percent(value)
    return three_digits(value / unit.factor)


def three_digits(value: float) -> str:
    """Three significant digits; whole numbers keep all of theirs."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    short = f"{value:.2e}"
    power = int(short.partition("e")[2])
    return short if power < -4 else f"{value:.{max(2 - power, 0)}f}"


def percent(value: float) -> str:
    """A share in percent with as many nines as it has: 0.99987 is 99.987, and only 1 is 100."""
    rest = abs(1 - value)
    if rest == 0:
        return "100"
    decimals = min(max(1, 1 - math.floor(math.log10(rest * 100))), 6)
    step = 10.0**decimals
    return f"{math.floor(value * 100 * step + 1e-6) / step:.{decimals}f}"
