"""Bands from the names that people type, and the bands that an encoder gets when nobody names any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.errors import ConfigError
from harness.core.specs import Band, EncoderSpec
from harness.support.model import bands_of, known_options
from harness.support.sensors import RGB, SENTINEL2

#: Backscatter by polarization; Sentinel-1 has the first two over land.
POLARIZATIONS = ("VV", "VH", "HH", "HV")
NAMED = {band.name: band for band in SENTINEL2} | {name: Band(name=name, sensor="sar") for name in POLARIZATIONS}


def named_bands(bands: Sequence[str | Band]) -> tuple[Band, ...]:
    """The bands with these names, in order; a Band stays what it is. Raises ConfigError for an unknown name and for no band at all."""
    unknown = [band for band in bands if isinstance(band, str) and band not in NAMED]
    if unknown:
        hint = "give any other band as Band(name=..., wavelength_um=...), from harness.core.specs"
        raise ConfigError(f"unknown bands {', '.join(unknown)}; known by name: {', '.join(NAMED)}", hint)
    if not bands:
        raise ConfigError("a model needs at least one band, got none", "name the bands, or leave them out for the encoder's own")
    return tuple(NAMED[band] if isinstance(band, str) else band for band in bands)


def default_bands(spec: EncoderSpec, options: Mapping[str, Any]) -> tuple[Band, ...]:
    """The bands that the encoder was trained on with these options; red, green, blue for an encoder that takes any."""
    return bands_of(spec, known_options(spec, options)) or RGB
