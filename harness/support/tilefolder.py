"""A data set as a folder: `<split>/images/*.tif`, `<split>/masks/*.tif`, `index.json`, `provenance.json`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from rasterio.transform import Affine, array_bounds

from harness.core.errors import ConfigError, DataError
from harness.core.files import atomic_folder, cache_folder, read_value, sha256_of_file
from harness.core.specs import Tile, Value
from harness.support.raster import TileRule, read_tile, tiff_bytes

INDEX_FILE = "index.json"
PROVENANCE_FILE = "provenance.json"
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Progress = Callable[[int, int, str], None]


class TileRow(Value):
    """One tile of the index; `bounds` are west, south, east, north in the set's CRS."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    split: Split
    region: str
    bounds: tuple[float, float, float, float]
    image_sha256: str
    mask_sha256: str


class TileIndex(Value):
    """What a folder holds."""

    format_version: Literal[1] = Field(1, alias="schema", serialization_alias="schema")
    dataset: str
    version: str
    tile: int
    crs: str | None
    tiles: tuple[TileRow, ...]

    model_config = {"frozen": True, "extra": "forbid", "populate_by_name": True, "serialize_by_alias": True}


@dataclass(frozen=True)
class Layout:
    """What the folder of one data set must hold. `crs` None: pixels of one picture, not places."""

    name: str
    version: str
    bands: int
    classes: int
    ignore_index: int | None = None
    crs: str | None = None

    def rule(self, root: Path) -> TileRule:
        """What the tiles in the folder `root` must be."""
        return TileRule(self.bands, self.classes, self.ignore_index, hint=f"{self.making(root)} --force")

    def making(self, root: Path) -> str:
        """The command that makes the set in `root`, whose name tells the tile size as `harness.stages.data_folder` gives it."""
        usual = f"{self.name}-{self.version}"
        if not root.name.startswith(usual):
            return f"harness data prepare {self.name}"
        size = root.name.removeprefix(usual).removeprefix("-")
        is_default = root.parent == (cache_folder() / "data").resolve()
        options = (f" --tile {size}" if size else "", "" if is_default else f" --root {shlex.quote(str(root.parent))}")
        return f"harness data prepare {self.name}{''.join(options)}"


@dataclass(frozen=True)
class Piece:
    """One tile before it is written: `image` (C, H, W) and `mask` (H, W) in the types they are stored in."""

    name: str
    split: Split
    region: str
    image: np.ndarray
    mask: np.ndarray
    transform: Affine


@dataclass(frozen=True)
class FolderSource:
    """The tiles of one split, each read and checked when it is asked for."""

    root: Path
    layout: Layout
    rows: tuple[TileRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tile:
        row = self.rows[index]
        image, mask = _paths(self.root, row.split, row.name)
        return read_tile(image, mask, rule=self.layout.rule(self.root), name=f"{row.split}/{row.name}", region=row.region)


def open_folder(layout: Layout, root: Path, split: str) -> FolderSource:
    """The tiles of a split. Raises DataError when the set is not there, is another one, or has no tile in the split; ConfigError for a split it can't have."""
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}", f"choose one of {', '.join(SPLITS)}")
    rows = tuple(row for row in read_index(layout, root).tiles if row.split == split)
    if not rows:
        raise DataError(f"the split {split!r} of {layout.name} in {root} is empty", layout.rule(root).hint)
    return FolderSource(root, layout, rows)


def read_index(layout: Layout, root: Path) -> TileIndex:
    """The checked index of a prepared set. Raises DataError."""
    if not (root / INDEX_FILE).is_file():
        hint = layout.rule(root).hint if root.exists() else layout.making(root)
        raise DataError(f"the data set {layout.name} is not prepared: {root} has no {INDEX_FILE}", hint)
    index = read_value(root / INDEX_FILE, TileIndex, DataError, layout.rule(root).hint)
    if (index.dataset, index.version) != (layout.name, layout.version):
        raise DataError(f"{root} holds {index.dataset} {index.version}, wanted {layout.name} {layout.version}", layout.rule(root).hint)
    return index


def verify_folder(layout: Layout, root: Path) -> TileIndex:
    """The index, after every file was found to be the one that was written. Raises DataError naming the first that is not."""
    index = read_index(layout, root)
    for row in index.tiles:
        for path, wanted in zip(_paths(root, row.split, row.name), (row.image_sha256, row.mask_sha256), strict=True):
            if not path.is_file():
                raise DataError(f"{path} does not exist", layout.rule(root).hint)
            if sha256_of_file(path) != wanted:
                raise DataError(f"{path} is not the file that was prepared: its sha256 differs from {INDEX_FILE}", layout.rule(root).hint)
    return index


def write_folder(root: Path, layout: Layout, *, pieces: Iterable[Piece], total: int, tile: int, provenance: dict[str, Any], progress: Progress) -> None:
    """Write a whole set or nothing; equal pieces give equal bytes. Raises HarnessError when the folder can't be written."""
    with atomic_folder(root) as partial:
        rows = []
        for done, piece in enumerate(pieces):
            progress(done, total, f"writing {layout.name}")
            rows.append(_write_piece(partial, piece, layout))
        index = TileIndex(dataset=layout.name, version=layout.version, tile=tile, crs=layout.crs, tiles=tuple(rows))
        (partial / INDEX_FILE).write_text(index.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (partial / PROVENANCE_FILE).write_text(json.dumps(provenance, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    progress(total, total, f"wrote {layout.name}")


def _write_piece(root: Path, piece: Piece, layout: Layout) -> TileRow:
    image, mask = _paths(root, piece.split, piece.name)
    for path, array in ((image, piece.image), (mask, piece.mask[None])):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiff_bytes(array, transform=piece.transform, crs=layout.crs))
    west, south, east, north = array_bounds(*piece.mask.shape, piece.transform)
    return TileRow(
        name=piece.name,
        split=piece.split,
        region=piece.region,
        bounds=(west, south, east, north),
        image_sha256=sha256_of_file(image),
        mask_sha256=sha256_of_file(mask),
    )


def _paths(root: Path, split: str, name: str) -> tuple[Path, Path]:
    return root / split / "images" / f"{name}.tif", root / split / "masks" / f"{name}.tif"
