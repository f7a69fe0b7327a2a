"""A share of the training tiles, stratified by the classes that a tile holds."""

from __future__ import annotations

import numpy as np

from harness.support.seeds import generator_for


def labeled_share(class_counts: np.ndarray, fraction: float, seed: int) -> list[int]:
    """Indices of about `fraction` of the tiles, at least one, in order; `class_counts` is (tiles, classes).

    Tiles with the same set of classes are one group; seats are given to groups by largest remainder, tiles in a group drawn by `seed`.
    The same arguments always give the same tiles.
    """
    tiles = len(class_counts)
    if fraction >= 1:
        return list(range(tiles))
    groups = _groups(class_counts > 0)
    seats = _seats([len(group) for group in groups], max(1, round(fraction * tiles)))
    drawn = (generator_for(seed, number).permutation(group)[:count] for number, (group, count) in enumerate(zip(groups, seats, strict=True)))
    return sorted(int(index) for chosen in drawn for index in chosen)


def _groups(present: np.ndarray) -> list[np.ndarray]:
    _, which = np.unique(present, axis=0, return_inverse=True)
    return [np.flatnonzero(which.reshape(-1) == group) for group in range(which.max() + 1)]


def _seats(sizes: list[int], total: int) -> list[int]:
    """`total` seats in proportion to `sizes`, by largest remainder; the larger group first among equals."""
    shares = [size * total / sum(sizes) for size in sizes]
    seats = [int(share) for share in shares]
    by_need = sorted(range(len(sizes)), key=lambda group: (seats[group] - shares[group], -sizes[group], group))
    for group in by_need[: total - sum(seats)]:
        seats[group] += 1
    return seats


def inverse_weights(class_counts: np.ndarray) -> np.ndarray:
    """Weight (classes,) of each class: pixels / (present classes x pixels of the class), so that the mean over pixels is 1; 1 where absent."""
    pixels = class_counts.sum(0)
    present = pixels > 0
    weights: np.ndarray = np.divide(pixels.sum(), present.sum() * pixels, out=np.ones(len(pixels)), where=present)
    return weights
