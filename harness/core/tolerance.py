"""How much worse a quantity may become before a check fails: "5%" of the baseline's value, or a number in the quantity's base unit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from harness.core.errors import ConfigError

#: What a profile without `regression` allows. Counts may not change, and a size hardly does.
USUAL: Mapping[str, str | float] = MappingProxyType(
    {
        "latency": "5%",
        "peak_host_memory": "5%",
        "peak_device_memory": "5%",
        "forward_flops": 0,
        "artifact_size": "1%",
        "miou": 0.005,
        "argmax_agreement": 0.005,
    }
)
_SHARE = re.compile(r"(\d+\.?\d*|\.\d+)\s*%")


class Tolerance(NamedTuple):
    """`amount` is a share of the baseline's value where `is_relative`, else in the base unit; it counts toward worse only."""

    amount: float
    is_relative: bool

    def __str__(self) -> str:
        return f"{self.amount:.4g}" if not self.is_relative else f"{100 * self.amount:.3g} %"


def tolerance_from(value: str | float) -> Tolerance:
    """Read one tolerance of a profile. Raises ConfigError for anything but a share such as "5%" or a number of at least 0."""
    share = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if share:
        return Tolerance(float(share[1]) / 100, True)
    if isinstance(value, str) or not math.isfinite(value) or value < 0:
        raise ConfigError(f'a tolerance is a share such as "5%" or a number of at least 0, got {value!r}', "regression: {latency: 5%, miou: 0.005}")
    return Tolerance(float(value), False)
