"""Evaluation tiles that came in a bundle, as a data set: no raster library, no code of the data set that they are of.

Folder: `images/<i>.npy` (C, H, W) and `masks/<i>.npy` (H, W) of tile i, `reference/<n>.npy` float32 logits (K, h, w) and
`baselines/<name>/<n>.npy` class indices (h, w) of part n (see `scenes.parts_of`; a tile of at most 1024 px a side is one part).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from harness.core.errors import BundleError, ConfigError, DataError
from harness.core.files import read_value
from harness.core.specs import Band, DatasetSpec, Task, Tile, Value
from harness.support.scenes import spans

BUNDLED_FILE = "bundled.json"
GRAPH_FLOPS_FILE = "graph_flops.json"
REFERENCE = "reference"
#: Fields of `DatasetSpec` that `BundledData` repeats.
FACTS = ("name", "version", "bands", "classes", "mean", "std", "tile", "license", "citation", "ignore_index", "task", "gsd_m", "colors", "caveats")
#: A part of a path inside a bundle: nothing that a file system reads as anything but a name.
NAME = r"^[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,199}$"
#: Types that pixels and classes are stored in, the smallest that holds them all exactly; a reader gets float32 and int64.
STORED = ("uint8", "uint16", "int16", "int32", "int64", "float32")


class BundledTile(Value):
    """One tile; `bounds` in its CRS, None where it has no place."""

    name: str
    region: str
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    bounds: tuple[float, float, float, float] | None = None
    crs: str | None = None


class BundledData(Value):
    """What `DatasetSpec` says of the tiles' data set, and which of a split they are. `parts`: sha256 of the float32 pixels of each part."""

    name: str
    version: str
    split: Literal["train", "val", "test"]
    tiles_in_split: int = Field(ge=1)
    tiles: tuple[BundledTile, ...] = Field(min_length=1)
    bands: tuple[Band, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=1)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tile: int = Field(ge=1)
    license: str
    citation: str
    ignore_index: int | None = None
    task: Task = "segmentation"
    gsd_m: float | None = None
    colors: tuple[tuple[int, int, int], ...] = ()
    caveats: str = ""
    provenance: dict[str, Any] = {}
    baselines: tuple[Annotated[str, Field(pattern=NAME)], ...] = ()
    parts: tuple[str, ...] = Field(min_length=1)


class GraphFlops(Value):
    """FLOP of an ONNX graph by operator, counted where the bundle was made, for a machine without the package onnx."""

    by_operator: dict[str, Annotated[int, Field(ge=0)]]


class Bundled(Value):
    """The tiles of an opened bundle: `file` is its name, `sha256` that of the whole archive."""

    data: BundledData
    file: str = ""
    sha256: str = ""


def is_bundled(root: Path | None) -> bool:
    """Whether the folder holds the tiles of a bundle."""
    return root is not None and (root / BUNDLED_FILE).is_file()


def read_bundled(root: Path) -> Bundled:
    """Raises BundleError."""
    return read_value(root / BUNDLED_FILE, Bundled, BundleError, "make the bundle again with `harness bundle`")


def bundled_spec(root: Path) -> DatasetSpec:
    """The data set of the tiles in `root`. Its baselines answer for these tiles alone, with what they answered where the bundle was made."""
    data = read_bundled(root).data
    return DatasetSpec(
        **{name: getattr(data, name) for name in FACTS},
        prepare=_not_made_here,
        open=functools.partial(_open, data),
        fake=_not_made_here,
        baselines={name: functools.partial(_answer, _parts(data), root / "baselines" / name) for name in data.baselines},
    )


def facts_of(root: Path) -> dict[str, Any]:
    """Which bundle the tiles came from, and how many of the split they are: for the record."""
    bundled = read_bundled(root)
    data = bundled.data
    return {"file": bundled.file, "sha256": bundled.sha256, "split": data.split, "tiles": len(data.tiles), "tiles_in_split": data.tiles_in_split}


def counted_elsewhere(artifact: Path) -> dict[str, int] | None:
    """FLOP by operator that came beside an artifact in a bundle, None where none came."""
    path = artifact / GRAPH_FLOPS_FILE
    return read_value(path, GraphFlops, BundleError).by_operator if path.is_file() else None


@dataclass(frozen=True)
class BundledTiles:
    """The tiles, each read and checked when it is asked for."""

    root: Path
    data: BundledData

    def __len__(self) -> int:
        return len(self.data.tiles)

    def __getitem__(self, index: int) -> Tile:
        row, data = self.data.tiles[index], self.data
        image = read_array(self.root / "images" / f"{index}.npy", (len(data.bands), row.height, row.width))
        mask = read_array(self.root / "masks" / f"{index}.npy", (row.height, row.width)).astype(np.int64)
        known = (mask >= 0) & (mask < len(data.classes))
        if not (known if data.ignore_index is None else known | (mask == data.ignore_index)).all():
            raise BundleError(f"the mask of tile {row.name} holds a class beyond the {len(data.classes)} of {data.name}", "make the bundle again")
        return Tile(row.name, image.astype(np.float32), mask, bounds=row.bounds, crs=row.crs, region=row.region)


def read_array(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The array in a `.npy` file. Raises BundleError."""
    return np.array(mapped(file, shape))


def mapped(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The array in a `.npy` file on disk, which must have this shape and a plain type; nothing is unpickled. Raises BundleError."""
    try:
        with np.errstate(over="raise"):
            found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, ArithmeticError) as error:
        raise BundleError(f"{file.name} in {file.parent.name} is not a plain array: {error}", "make the bundle again with `harness bundle`") from error
    if not isinstance(found, np.ndarray) or found.shape != shape or found.dtype.name not in STORED:
        seen = f"{found.dtype} of {found.shape}" if isinstance(found, np.ndarray) else "several arrays"
        raise BundleError(f"{file.name} in {file.parent.name} is {seen}, wanted numbers of {shape}", "make the bundle again with `harness bundle`")
    return found


def require_arrays(root: Path) -> None:
    """Raises BundleError unless every array that the facts in `root` call for is there, of its shape and plain, and the reference finite."""
    data = read_bundled(root).data
    for index, row in enumerate(data.tiles):
        mapped(root / "images" / f"{index}.npy", (len(data.bands), row.height, row.width))
        mapped(root / "masks" / f"{index}.npy", (row.height, row.width))
    sides = [side for row in data.tiles for side in _part_sides(row)]
    if len(sides) != len(data.parts):
        raise BundleError(f"the tiles have {len(sides)} parts, the manifest names {len(data.parts)}", "make the bundle again with `harness bundle`")
    for number, side in enumerate(sides):
        if not np.isfinite(mapped(root / REFERENCE / f"{number}.npy", (len(data.classes), *side))).all():
            raise BundleError(f"the reference outputs of part {number} hold NaN or infinity", "train with a lower --lr, and bundle again")
        for name in data.baselines:
            mapped(root / "baselines" / name / f"{number}.npy", side)


def _part_sides(row: BundledTile) -> Iterator[tuple[int, int]]:
    """(h, w) of each part, in the order of `scenes.parts_of`."""
    for rows, columns in itertools.product(spans(row.height), spans(row.width)):
        yield rows.stop - rows.start, columns.stop - columns.start


def narrowed(array: np.ndarray, wide: str) -> np.ndarray:
    """The values in the smallest stored type from which the type `wide` comes back bit by bit."""
    own = np.ascontiguousarray(array, wide)
    smaller = (name for name in STORED if np.dtype(name).kind != "f" and np.dtype(name).itemsize < own.dtype.itemsize)
    with np.errstate(invalid="ignore"):
        return next((small for name in smaller if (small := own.astype(name)).astype(wide).tobytes() == own.tobytes()), own)


def part_key(image: np.ndarray) -> str:
    """Names a part by its pixels, float32 (C, h, w)."""
    return hashlib.sha256(np.ascontiguousarray(image, np.float32).tobytes()).hexdigest()


def _parts(data: BundledData) -> dict[str, int]:
    return {key: number for number, key in enumerate(data.parts)}


def _answer(parts: Mapping[str, int], folder: Path, image: np.ndarray) -> np.ndarray:
    number = parts.get(part_key(image))
    if number is None:
        raise DataError("a baseline of a bundle knows the bundle's own tiles only", "score with --data NAME where the data set is prepared")
    return read_array(folder / f"{number}.npy", image.shape[1:]).astype(np.int64)


def _open(data: BundledData, root: Path, split: str) -> BundledTiles:
    if split != data.split:
        raise ConfigError(f"the bundle holds tiles of {data.split}, the profile scores on {split}", f"harness bundle ... --split {split}")
    return BundledTiles(root, data)


def _not_made_here(*_: Any, **__: Any) -> None:
    raise DataError("the tiles of a bundle are not made here", "harness data prepare NAME")
