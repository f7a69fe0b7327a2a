"""The settings of an export: those that make its bytes, with defaults, so that equal settings need no second export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.errors import ConfigError
from harness.support.export_data import CONTEXT

#: A drop that everything is within: nothing is searched.
NO_LIMIT = 1.0
#: Settings of the lower precisions of an ONNX graph with their defaults; a tuple holds all values, the default first.
FP16: Mapping[str, Any] = {"max_miou_drop": NO_LIMIT}
INT8: Mapping[str, Any] = {"per_channel": True, "weight_bits": (7, 8), "max_miou_drop": NO_LIMIT}
CALIBRATION: Mapping[str, Any] = {"calibration_tiles": 64, "calibration_method": ("minmax", "entropy", "percentile")}


def settings_from(what: str, known: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of `what`. `known` gives each one's default, or a tuple of its values, the default first.

    Raises ConfigError for an unknown setting, a value of another kind, a whole number below 1, or a ratio outside 0 to 1.
    """
    given = {name: value for name, value in options.items() if name != CONTEXT}
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise ConfigError(f"{what} has no setting {', '.join(unknown)}; it has {', '.join(known) or 'none'}", f"leave {_flag(unknown[0])} out")
    defaults = {name: value[0] if isinstance(value, tuple) else value for name, value in known.items()}
    for name, value in given.items():
        _require(name, value, known[name], defaults[name])
    return {**defaults, **given}


def _require(name: str, value: Any, known: Any, default: Any) -> None:
    if isinstance(known, tuple) and value not in known:
        raise ConfigError(f"{name.replace('_', ' ')} is one of {', '.join(map(str, known))}, got {value!r}", f"{_flag(name)} {default}")
    if type(value) is not type(default):
        raise ConfigError(f"{name} is {type(default).__name__}, got {value!r}", f"{_flag(name)} {default}")
    if isinstance(value, int) and not isinstance(value, bool) and value < 1:
        raise ConfigError(f"{name} is 1 or more, got {value}", f"{_flag(name)} {default}")
    if isinstance(value, float) and not 0 <= value <= 1:
        raise ConfigError(f"{name} is a ratio from 0 to 1, got {value}", f"{_flag(name)} 0.005")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
