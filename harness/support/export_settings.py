"""The settings of an export: those that make its bytes, with defaults, so that equal settings need no second export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.errors import ConfigError
from harness.support.export_data import CONTEXT


def settings_from(what: str, known: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of `what`. `known` gives each one's default, or a tuple of its values, the default first.

    Raises ConfigError for an unknown setting, a value of another kind, or a number below 1.
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
        raise ConfigError(f"{name.replace('_', ' ')} is one of {', '.join(known)}, got {value!r}", f"{_flag(name)} {default}")
    if type(value) is not type(default):
        raise ConfigError(f"{name} is {type(default).__name__}, got {value!r}", f"{_flag(name)} {default}")
    if isinstance(value, int) and not isinstance(value, bool) and value < 1:
        raise ConfigError(f"{name} is 1 or more, got {value}", f"{_flag(name)} {default}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
