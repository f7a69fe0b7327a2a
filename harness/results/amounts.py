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
    "energy": {"J": 1.0, "mJ": 1e-3, "kJ": 1e3, "Wh": 3600.0, "kWh": 3.6e6},
    "money": {"": 1.0},
    "mass": {"g": 1.0, "kg": 1e3, "t": 1e6},
}
_AMOUNT = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)")


def amount(text: str, dimension: Dimension) -> float:
    """The number in base units. Without a unit the number is in base units; units may differ in case. Raises ConfigError."""
    units = _UNITS[dimension]
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or not math.isfinite(float(found[1])):
        raise ConfigError(f"{text!r} is not an amount", _example(units))
    factor = 1.0 if not found[2] else units.get(found[2], _any_case(units).get(found[2].lower()))
    if factor is None:
        raise ConfigError(f"{text!r}: {found[2]!r} is not one of the units {', '.join(unit for unit in units if unit)}", _example(units))
    return float(found[1]) * factor


def _any_case(units: Mapping[str, float]) -> dict[str, float]:
    return {unit.lower(): factor for unit, factor in units.items()}


def _example(units: Mapping[str, float]) -> str:
    return f"a number with one of the units {', '.join(unit for unit in units if unit)}" if any(units) else "a plain number"
