"""A few small tiles in a data set's true format, so that tests read through the real reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rasterio.transform import from_origin

from harness.support.tilefolder import SPLITS, Layout, Piece, write_folder

FAKE_TILES = {"train": 4, "val": 2, "test": 2}
FAKE_SIZE = 64


def write_fake(layout: Layout, root: Path, seed: int) -> None:
    """Write four train, two val and two test tiles of 64 px whose values follow their labels, each split in two regions."""
    pieces = list(_pieces(layout, np.random.default_rng(seed)))
    facts = {"dataset": layout.name, "version": layout.version, "fake": True, "seed": seed}
    write_folder(root, layout, pieces=pieces, total=len(pieces), tile=FAKE_SIZE, provenance=facts, progress=lambda done, total, what: None)


def _pieces(layout: Layout, rng: np.random.Generator) -> Iterator[Piece]:
    for row, split in enumerate(SPLITS):
        for column in range(FAKE_TILES[split]):
            mask = _stripes(layout.classes, rng)
            image = mask * (200.0 / layout.classes) + rng.normal(30, 8, (layout.bands, FAKE_SIZE, FAKE_SIZE))
            place = from_origin(column, 10 - row, 1 / FAKE_SIZE, 1 / FAKE_SIZE)
            yield Piece(f"fake{column}", split, f"{split}-{column % 2}", image.clip(0, 255).astype(np.uint8), mask.astype(np.uint8), place)


def _stripes(classes: int, rng: np.random.Generator) -> np.ndarray:
    """Diagonal stripes, shifted at random: every class is in every tile."""
    row, column = np.mgrid[:FAKE_SIZE, :FAKE_SIZE]
    stripes: np.ndarray = ((row + column + rng.integers(FAKE_SIZE)) // 8) % classes
    return stripes
