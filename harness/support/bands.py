"""The bands of a data set brought to the bands that an encoder takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.errors import ConfigError
from harness.core.specs import Band, names_of
from harness.support.sensors import is_same_band


@dataclass(frozen=True)
class BandPlan:
    """`bands` is what the encoder is built for; `sources[i]` is the data's index of its band i, None for one that is filled with zeros.

    Zero is the mean of a normalized band, as in Cryo-Bench's padding of missing bands.
    """

    bands: tuple[Band, ...]
    sources: tuple[int | None, ...]
    unused: tuple[str, ...] = ()

    @property
    def zero_filled(self) -> tuple[str, ...]:
        return tuple(band.name for band, source in zip(self.bands, self.sources, strict=True) if source is None)

    @property
    def is_identity(self) -> bool:
        return not self.unused and self.sources == tuple(range(len(self.sources)))


def plan_bands(encoder: str, given: Sequence[Band], wanted: Sequence[Band] | None, *, fill_missing: bool = False) -> BandPlan:
    """Match `given` to `wanted` by name, else by wavelength; an encoder that takes any bands (`wanted` None) gets them all.

    Raises ConfigError that names the missing bands, unless `fill_missing` and at least one band matches.
    """
    if wanted is None:
        return BandPlan(tuple(given), tuple(range(len(given))))
    sources = tuple(_index_of(band, given, place) for place, band in enumerate(wanted))
    missing = [band for band, source in zip(wanted, sources, strict=True) if source is None]
    if len(missing) == len(wanted):
        raise ConfigError(
            f"encoder {encoder} takes {_said(wanted)}; the data has none of them but {_said(given)}", "harness list encoders, for one that takes these bands"
        )
    if missing and not fill_missing:
        hint = "--fill-missing-bands fills them with zeros and records it, or choose an encoder for these bands (dofa, vit, unet, timm:... take any)"
        raise ConfigError(f"encoder {encoder} takes {_said(wanted)}; the data ({_said(given)}) lacks {', '.join(names_of(missing))}", hint)
    unused = tuple(band.name for index, band in enumerate(given) if index not in sources)
    return BandPlan(tuple(wanted), sources, unused)


def _index_of(wanted: Band, given: Sequence[Band], place: int) -> int | None:
    """The band of the same name, else the nearest in wavelength that may stand for it; of equals the one at `place` (bands of several images)."""
    fitting = [index for index, band in enumerate(given) if is_same_band(band, wanted)]
    return min(fitting, key=lambda index: (*_distance(given[index], wanted), index != place, index), default=None)


def _distance(given: Band, wanted: Band) -> tuple[bool, float]:
    return given.name != wanted.name, abs((given.wavelength_um or 0) - (wanted.wavelength_um or 0))


def _said(bands: Sequence[Band]) -> str:
    return ", ".join(f"{band.name}" + (f" ({band.wavelength_um:g} um)" if band.wavelength_um else f" ({band.sensor})") for band in bands)
