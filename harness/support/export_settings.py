"""The settings of an export: those that make its bytes, with defaults, so that equal settings need no second export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.artifact import Artifact
from harness.core.errors import ConfigError
from harness.support.export_data import CONTEXT

#: Of the ONNX graph that all formats but torch.export's come from; a newer one may hold other operators for the same network.
OPSET = 20
#: The first in which convolutions and pooling take bfloat16.
BF16_OPSET = 22
#: A drop that everything is within: nothing is searched.
NO_LIMIT = 1.0
#: Settings of the lower precisions of an ONNX graph with their defaults; a tuple holds all values, the default first.
FLOAT: Mapping[str, Any] = {"max_miou_drop": NO_LIMIT}
INT8: Mapping[str, Any] = {"per_channel": True, "weight_bits": (7, 8), "max_miou_drop": NO_LIMIT}
CALIBRATION: Mapping[str, Any] = {"calibration_tiles": 64, "calibration_method": ("minmax", "entropy", "percentile")}
#: `max_batch`: the optimization profile reaches from 1 to it, tuned for `opt_batch`. `workspace_mb`: scratch memory that tactics may take.
ENGINE: Mapping[str, Any] = {
    "opt_batch": 1,
    "max_batch": 8,
    "workspace_mb": 2048,
    "tf32": False,
    "version_compatible": False,
    "hardware_compatible": ("none", "ampere_plus", "same_compute_capability"),
}
#: int8-static by format: the ONNX artifact has signed activations for TensorRT's sake; with those OpenVINO loses more without VNNI.
INT8_STATIC: Mapping[str, Mapping[str, Any]] = {
    "onnx": {**CALIBRATION, **INT8, "activations": ("int8", "uint8")},
    "openvino": {**CALIBRATION, **INT8, "activations": ("uint8", "int8")},
}
_ALL: Mapping[str, Mapping[str, Any]] = {
    **{form: {"opset": OPSET, **settings} for form, settings in INT8_STATIC.items()},
    "tensorrt": {"opset": OPSET, **INT8_STATIC["onnx"], **ENGINE},
}


def least_opset(precision: str) -> int:
    """Of an ONNX graph in the precision, and what it has where none is asked for."""
    return BF16_OPSET if precision == "bf16" else OPSET


def variant_of(artifact: Artifact) -> str:
    """The settings of an export that differ from their defaults, in words; "" for none, or for a model that was not exported here."""
    defaults = {} if artifact.checkpoint.is_foreign else _defaults(_ALL.get(artifact.format, {}))
    if "opset" in defaults and artifact.format != "openvino":  # whose bf16 is made of the fp32 graph
        defaults["opset"] = least_opset(artifact.precision)
    changed = {name: value for name, value in sorted(artifact.options.items()) if name in defaults and value != defaults[name]}
    return ", ".join(f"{name} {value}" for name, value in changed.items())


def settings_from(what: str, known: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of `what`. `known` gives each one's default, or a tuple of its values, the default first.

    Raises ConfigError for an unknown setting, a value of another kind, a whole number below 1, or a ratio outside 0 to 1.
    """
    given = {name: value for name, value in options.items() if name != CONTEXT}
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise ConfigError(f"{what} has no setting {', '.join(unknown)}; it has {', '.join(known) or 'none'}", f"leave {_flag(unknown[0])} out")
    defaults = _defaults(known)
    for name, value in given.items():
        _require(name, value, known[name], defaults[name])
    return {**defaults, **given}


def _defaults(known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[0] if isinstance(value, tuple) else value for name, value in known.items()}


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
