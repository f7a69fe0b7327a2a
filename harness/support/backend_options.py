"""What `runtime.options` of a profile may say to a backend: known names, values of the right kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.errors import ConfigError


def chosen(backend: str, known: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of the backend, defaults filled in. `known` gives each option's default, or a tuple of its values, the default first.

    Raises ConfigError for an unknown option or a value of another kind.
    """
    unknown = sorted(options.keys() - known.keys())
    if unknown:
        names = ", ".join(known) or "none"
        raise ConfigError(f"backend {backend} has no runtime option {', '.join(unknown)}; it has {names}", "correct runtime.options of the profile")
    return {name: _value(backend, name, default, options) for name, default in known.items()}


def _value(backend: str, name: str, default: Any, options: Mapping[str, Any]) -> Any:
    allowed = default if isinstance(default, tuple) else (True, False) if isinstance(default, bool) else None
    value = options.get(name, default[0] if isinstance(default, tuple) else default)
    fits = type(value) is type(allowed[0]) and value in allowed if allowed else type(value) is type(default)
    if not fits:
        said = f"one of {', '.join(map(str, allowed))}" if allowed else type(default).__name__
        raise ConfigError(f"runtime option {name} of backend {backend} is {said}, got {value!r}", "correct runtime.options of the profile")
    return value
