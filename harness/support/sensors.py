"""Bands of the sensors that the encoders were trained on, and the check that an encoder gets the bands it takes.

Central wavelengths are Sentinel-2's nominal ones in micrometers (ESA, Sentinel-2 User Handbook, table of spectral bands). Optical
bands have `sensor` "optical"; radar backscatter has `sensor` "sar" and no wavelength.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.errors import ConfigError
from harness.core.specs import Band, names_of

WAVELENGTHS_UM = {
    "B1": 0.443, "B2": 0.490, "B3": 0.560, "B4": 0.665, "B5": 0.705, "B6": 0.740, "B7": 0.783,
    "B8": 0.842, "B8A": 0.865, "B9": 0.945, "B10": 1.375, "B11": 1.610, "B12": 2.190,
}  # fmt: skip

#: How far apart the central wavelengths of one band of two sensors may be (red of a camera, red of Sentinel-2).
SAME_BAND_UM = 0.03


def sentinel2(*names: str) -> tuple[Band, ...]:
    """The Sentinel-2 bands with these names, in this order; raises KeyError for a name that Sentinel-2 has not."""
    return tuple(Band(name=name, wavelength_um=WAVELENGTHS_UM[name]) for name in names)


#: All 13 bands (level 1C).
SENTINEL2 = sentinel2(*WAVELENGTHS_UM)
#: The 12 bands of level 2A: no cirrus band B10.
SENTINEL2_L2A = tuple(band for band in SENTINEL2 if band.name != "B10")
#: Red, green, blue: the order of every encoder that was trained on RGB pictures.
RGB = sentinel2("B4", "B3", "B2")
#: Backscatter of Sentinel-1 in its two polarizations.
SENTINEL1 = (Band(name="VV", sensor="sar"), Band(name="VH", sensor="sar"))


def is_same_band(given: Band, wanted: Band) -> bool:
    """Whether `given` can stand for `wanted`: same sensor, and the same name or nearly the same central wavelength."""
    if given.sensor != wanted.sensor:
        return False
    if given.name == wanted.name:
        return True
    if given.wavelength_um is None or wanted.wavelength_um is None or {given.name, wanted.name} <= WAVELENGTHS_UM.keys():
        return False
    return abs(given.wavelength_um - wanted.wavelength_um) <= SAME_BAND_UM


def require_bands(encoder: str, given: Sequence[Band], wanted: Sequence[Band]) -> None:
    """Raises ConfigError unless `given` are the bands that the encoder takes, in its order."""
    if len(given) == len(wanted) and all(is_same_band(one, other) for one, other in zip(given, wanted, strict=True)):
        return
    message = f"encoder {encoder} takes the bands {', '.join(names_of(wanted))} in this order, got {', '.join(names_of(given)) or 'none'}"
    raise ConfigError(message, "harness list encoders")
