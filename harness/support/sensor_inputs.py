"""A model that also takes a dict of tensors by sensor, and whose encoder takes the same bands as the whole.

Both are forward pre-hooks, so the names of the network's tensors stay those of its checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.core.errors import DataError
from harness.core.specs import Band, names_of
from harness.support.bands import BandPlan, plan_bands
from harness.support.model import SegmentationModel, arranged

Images = Tensor | Mapping[str, Tensor]


def with_sensor_inputs(network: SegmentationModel, bands: Sequence[Band]) -> SegmentationModel:
    """The same network, which now takes images of `bands` in this order or as a dict by sensor, and its encoder too.

    Both raise DataError for other bands.
    """
    takes = Takes(tuple(bands))
    network.register_forward_pre_hook(takes)
    network.encoder.register_forward_pre_hook(takes)
    network.encoder.register_forward_pre_hook(Arranges(network.band_plan))
    network.band_plan = plan_bands("", bands, None)
    return network


@dataclass(frozen=True)
class Arranges:
    """The hook that gives an encoder its own bands."""

    plan: BandPlan

    def __call__(self, module: Any, given: tuple[Tensor]) -> tuple[Tensor]:
        return (arranged(given[0], self.plan),)


@dataclass(frozen=True)
class Takes:
    """The hook that makes one tensor (B, C, H, W) of `bands` from such a tensor or from a dict with one per sensor."""

    bands: tuple[Band, ...]

    def __call__(self, module: Any, given: tuple[Images]) -> tuple[Tensor]:
        (images,) = given
        if isinstance(images, Mapping):
            return (self._joined(images),)
        _require_bands("the input", images, self.bands)
        return (images,)

    def _joined(self, images: Mapping[str, Tensor]) -> Tensor:
        by_sensor: dict[str, list[int]] = {}
        for place, band in enumerate(self.bands):
            by_sensor.setdefault(band.sensor, []).append(place)
        if images.keys() != by_sensor.keys():
            raise DataError(f"the model takes one tensor for each of {', '.join(by_sensor)}; got {', '.join(map(str, images)) or 'none'}")
        for sensor, places in by_sensor.items():
            _require_bands(f"the {sensor} input", images[sensor], [self.bands[place] for place in places])
        joined = torch.cat([images[sensor] for sensor in by_sensor], dim=1)
        order = [place for places in by_sensor.values() for place in places]
        return joined if order == sorted(order) else joined[:, [order.index(place) for place in range(len(order))]]


def _require_bands(what: str, image: Tensor, bands: Sequence[Band]) -> None:
    if image.ndim != 4 or image.shape[1] != len(bands):
        raise DataError(f"{what} is (B, {len(bands)}, H, W) of the bands {', '.join(names_of(bands))}; got {tuple(image.shape)}")
