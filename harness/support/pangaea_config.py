"""What the configuration in a PANGAEA run folder, `configs/config.yaml`, says of a training's data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import ConfigError

#: Modalities in the order in which an encoder gets them.
MODALITIES = ("optical", "sar")
#: Their options of an encoder, by ours.
OPTIONS = {"ramen": {"input_resolution": "input_res", "resolution": "res"}, "scalemae": {"resolution": "input_res"}}
HINT = "give --bands, --mean, --std and --classes instead"


@dataclass(frozen=True)
class Configuration:
    """Band names in order, their normalization, the classes, the side of the encoder's input; None or empty where it is not said.

    `wavelengths`: in micrometers, as the encoder is told them; `encoder`: its other settings under their names.
    """

    bands: tuple[str, ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] = ()
    ignore_index: int | None = None
    input_size: int | None = None
    wavelengths: Mapping[str, float] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    regime: str | None = None
    seed: int = 0
    label_fraction: float = 1.0

    def options(self, encoder: str) -> dict[str, float]:
        """The options of our encoder that the configuration sets."""
        found = {ours: self.encoder.get(theirs) for ours, theirs in OPTIONS.get(encoder, {}).items()}
        return {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}


def read_configuration(path: Path) -> Configuration:
    """The configuration in a YAML file, read with the safe loader. Raises ConfigError naming what is wrong."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {' '.join(str(error).split())}", HINT) from error
    data, encoder = (content.get(part) if isinstance(content, dict) else None for part in ("dataset", "encoder"))
    if not isinstance(data, dict) or not isinstance(data.get("bands"), dict):
        raise ConfigError(f"{path} names no bands under dataset.bands, so it is no configuration of a PANGAEA training", HINT)
    encoder = encoder if isinstance(encoder, dict) else {}
    bands = _joined(path, data["bands"])
    mean, std = (_numbers(path, data, word, len(bands)) for word in ("mean", "std"))
    return Configuration(
        bands=tuple(map(str, bands)),
        mean=mean,
        std=std,
        classes=tuple(map(str, data.get("classes") or ())),
        ignore_index=_whole(data.get("ignore_index")),
        input_size=_whole(encoder.get("input_size")),
        wavelengths=_wavelengths(encoder),
        encoder=encoder,
        regime=_regime(content, encoder),
        seed=_whole(content.get("seed")) or 0,
        label_fraction=_fraction(content.get("limited_label_train")),
    )


def _whole(value: Any) -> int | None:
    """A whole number; None for anything else, such as a reference to another part that was not resolved."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _fraction(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and 0 < value <= 1 else 1.0


def _regime(content: Mapping[str, Any], encoder: Mapping[str, Any]) -> str | None:
    """frozen, finetune or, without weights to start from, scratch."""
    finetune = content.get("finetune")
    if not isinstance(finetune, bool):
        return None
    return ("finetune" if encoder.get("encoder_weights") else "scratch") if finetune else "frozen"


def _wavelengths(encoder: Mapping[str, Any]) -> dict[str, float]:
    """From `wave_list`, in micrometers, or `wavelengths`, in nanometers."""
    for key, scale in (("wave_list", 1.0), ("wavelengths", 1000.0)):
        told = encoder.get(key)
        optical = told.get("optical") if isinstance(told, dict) else None
        if isinstance(optical, dict):
            return {str(name): float(value) / scale for name, value in optical.items() if isinstance(value, (int, float))}
    return {}


def _joined(path: Path, by_modality: Mapping[str, Any]) -> list[Any]:
    """The lists of all modalities, one after the other. Raises ConfigError for a modality that no encoder takes."""
    unknown = sorted(name for name, values in by_modality.items() if values and name not in MODALITIES)
    if unknown:
        raise ConfigError(f"{path} has the modalities {', '.join(unknown)}; known: {', '.join(MODALITIES)}", HINT)
    return [value for name in MODALITIES for value in by_modality.get(name) or ()]


def _numbers(path: Path, data: Mapping[str, Any], word: str, bands: int) -> tuple[float, ...] | None:
    """Mean or std of every band, from `data_mean` or `mean`; None where the file says neither."""
    given = data.get(f"data_{word}", data.get(word))
    if not isinstance(given, dict):
        return None
    values: Sequence[Any] = _joined(path, given)
    if len(values) != bands or not all(isinstance(value, (int, float)) for value in values):
        raise ConfigError(f"{path}: the {word} of {bands} bands is {len(values)} values: {', '.join(map(str, values))}", HINT)
    return tuple(map(float, values))
