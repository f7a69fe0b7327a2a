"""Amounts as people type them ("50ms", "1.5 GB", "60%") as numbers in base units."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from harness.core.errors import ConfigError
from harness.results.units import Dimension

_TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "h": 3600.0, "d": 86400.0}
_COUNT = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_UNITS: Mapping[Dimension, Mapping[str, float]] = {
    "time": _TIME,
    "duration": _TIME,
    "bytes": {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
    "flop": {"FLOP": 1.0, "MFLOP": 1e6, "GFLOP": 1e9, "TFLOP": 1e12},
    "mac": {"MAC": 1.0, "MMAC": 1e6, "GMAC": 1e9, "TMAC": 1e12},
    "count": _COUNT,
    "rate": {"px/s": 1.0, "kpx/s": 1e3, "Mpx/s": 1e6, "Gpx/s": 1e9},
    "score": {"": 1.0, "%": 0.01},
    "share": {"": 1.0, "%": 0.01},
    "change": {"": 1.0, "%": 0.01},
    "ratio": {"": 1.0, "x": 1.0},
    "area_rate": {"km2/s": 1.0, "m2/s": 1e-6, "km2/h": 1 / 3600.0},
    "energy": {"J": 1.0, "mJ": 1e-3, "kJ": 1e3, "MJ": 1e6, "Wh": 3600.0, "kWh": 3.6e6, "MWh": 3.6e9},
    "money": {"": 1.0},
    "mass": {"g": 1.0, "kg": 1e3, "t": 1e6},
}
#: Which unit somebody who forgot it may have meant.
_LIKELY: Mapping[Dimension, str] = {"time": "ms", "bytes": "MB", "flop": "GFLOP", "mac": "GMAC", "rate": "Mpx/s"}
#: Where a number beyond these can only be a slip, such as 60 for 60%.
_ENDS: Mapping[str, tuple[float, float]] = {"score": (0.0, 1.0), "share": (0.0, 1.0), "change": (-1.0, 1.0)}
_AMOUNT = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)")


def amount(text: str, dimension: Dimension) -> float:
    """The number in base units. What has a unit needs it, 0 apart; units may differ in case, but m and M of an energy. Raises ConfigError."""
    units = _UNITS[dimension]
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or not math.isfinite(float(found[1])):
        raise ConfigError(f"{text!r} is not an amount", _example(units))
    number, unit = float(found[1]), found[2]
    if not unit and "" not in units and number:
        raise ConfigError(f"{text!r} has no unit", f"{text.strip()}{_LIKELY.get(dimension, next(iter(units)))}, or another of {_named(units)}")
    folded = {_folded(name, dimension): factor for name, factor in units.items()}
    factor = units.get(unit, folded.get(_folded(unit, dimension))) if unit else 1.0
    if factor is None:
        raise ConfigError(f"{text!r}: {unit!r} is not one of the units {_named(units)}", _example(units))
    low, high = _ENDS.get(dimension, (-math.inf, math.inf))
    if not low <= number * factor <= high:
        raise ConfigError(f"{text!r} is not between {low:g} and {high:g}", f"{number / 100:g} or {number:g}%" if 1 < number <= 100 else "0.6 or 60%")
    return number * factor


def limit_from(flag: str, text: str, dimension: Dimension) -> float:
    """The amount of a flag that limits something. Raises ConfigError where it is not above 0, but for a least amount of 0."""
    value = amount(text, dimension)
    if value < 0 or (value == 0 and not flag.startswith("--min")):
        raise ConfigError(f"{flag} is a limit above 0, got {text!r}", f"{flag} with a larger amount, or leave it out")
    return value


def _folded(unit: str, dimension: Dimension) -> str:
    """Without case; but a mJ is no MJ."""
    return unit[:1] + unit[1:].lower() if dimension == "energy" and unit[:1] in "mM" else unit.lower()


def _named(units: Mapping[str, float]) -> str:
    return ", ".join(unit for unit in units if unit)


def _example(units: Mapping[str, float]) -> str:
    return f"a number with one of the units {_named(units)}" if any(units) else "a plain number"
