"""Where to put labels beside points so that they cover neither each other nor the points: greedy and deterministic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

_RADII = (7.0, 12.0, 19.0, 29.0, 42.0, 58.0, 80.0)
# Right first, then the near diagonals: where a reader looks for a label.
_ANGLES = (0, 30, -30, 150, -150, 180, 60, -60, 90, -90, 120, -120)


class Box(NamedTuple):
    """A rectangle in any unit of length, left < right and bottom < top."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        return self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top

    def is_inside(self, other: Box) -> bool:
        return self.left >= other.left and self.right <= other.right and self.bottom >= other.bottom and self.top <= other.top


def place_labels(
    anchors: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], *, inside: Box, taken: Sequence[Box], wishes: Sequence[Sequence[Box]] = ()
) -> list[Box | None]:
    """A free box of each (width, height) near its anchor, inside the frame; None where there is none.

    Earlier labels choose first, so give the important ones first. `taken` are boxes to keep clear of. `wishes` are sets of boxes
    that should stay clear too: each is tried in turn, near the anchor only, and given up where nothing is free.
    """
    blocked = list(taken)
    placed: list[Box | None] = []
    for anchor, size in zip(anchors, sizes, strict=True):
        reach = _reach(anchor, size)
        close = [box for box in blocked if box.overlaps(reach)]
        near = (_free_box(anchor, size, inside, [*close, *(box for box in wish if box.overlaps(reach))], radii=_RADII[:4]) for wish in wishes)
        box = next((found for found in near if found is not None), None) or _free_box(anchor, size, inside, close, radii=_RADII)
        placed.append(box)
        if box is not None:
            blocked.append(box)
    return placed


def _reach(anchor: tuple[float, float], size: tuple[float, float]) -> Box:
    """Where a label can come to lie: what is outside can't be covered."""
    across, up = size[0] + _RADII[-1], size[1] + _RADII[-1]
    return Box(anchor[0] - across, anchor[1] - up, anchor[0] + across, anchor[1] + up)


def _free_box(anchor: tuple[float, float], size: tuple[float, float], inside: Box, blocked: Sequence[Box], *, radii: Sequence[float]) -> Box | None:
    for radius in radii:
        for angle in _ANGLES:
            box = _box_at(anchor, size, radius, angle)
            if box.is_inside(inside) and not any(box.overlaps(other) for other in blocked):
                return box
    return None


def _box_at(anchor: tuple[float, float], size: tuple[float, float], radius: float, angle: float) -> Box:
    """The box whose nearest side or corner lies `radius` away from the anchor in direction `angle` (degrees)."""
    across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    width, height = size
    left = anchor[0] + radius * across - width * (1 - across) / 2
    bottom = anchor[1] + radius * up - height * (1 - up) / 2
    return Box(left, bottom, left + width, bottom + height)
