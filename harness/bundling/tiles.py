"""Tiles of a split written as a bundle holds them, with what the data set's baselines say of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.errors import ConfigError, DataError
from harness.core.files import write_value
from harness.core.specs import DatasetSpec, Tile
from harness.support.bundled import BUNDLED_FILE, FACTS, Bundled, BundledData, BundledTile, narrowed, part_key
from harness.support.scenes import parts_of

PROVENANCE_FILE = "provenance.json"


def chosen_tiles(total: int, tiles: int | None) -> list[int]:
    """Indices of `tiles` tiles, evenly spread over the split in its order, or all. Raises ConfigError."""
    if not 1 <= (total if tiles is None else tiles) <= total:
        raise ConfigError(f"the split has {total} tiles, asked for are {total if tiles is None else tiles}", f"--tiles 1 to {total}, or leave it out")
    return [int(place) for place in np.linspace(0, total - 1, tiles or total).round()]


def write_tiles(spec: DatasetSpec, root: Path, split: str, *, tiles: int | None, out: Path, progress: Callable[[int, int, str], None]) -> BundledData:
    """Write images, masks, baselines and `bundled.json` into the folder `out`. Raises DataError where the split can't be read."""
    source = spec.open(root, split)
    chosen = chosen_tiles(len(source), tiles)
    rows: list[BundledTile] = []
    parts: list[str] = []
    for number, index in enumerate(chosen):
        progress(number, len(chosen), "reading tiles")
        tile = source[index]
        rows.append(_write_tile(tile, number, out))
        parts += _write_baselines(spec, tile, len(parts), out)
    data = BundledData(
        **{name: getattr(spec, name) for name in FACTS},
        split=split,
        tiles_in_split=len(source),
        tiles=tuple(rows),
        baselines=tuple(sorted(spec.baselines)),
        parts=tuple(parts),
        provenance=_provenance(root),
    )
    write_value(out / BUNDLED_FILE, Bundled(data=data))
    return data


def _write_tile(tile: Tile, number: int, out: Path) -> BundledTile:
    image, mask = np.asarray(tile.image, np.float32), np.asarray(tile.mask, np.int64)
    _save(out / "images" / f"{number}.npy", narrowed(image, "float32"))
    _save(out / "masks" / f"{number}.npy", narrowed(mask, "int64"))
    height, width = mask.shape
    return BundledTile(name=tile.name, region=tile.region, height=height, width=width, bounds=tile.bounds, crs=tile.crs)


def _write_baselines(spec: DatasetSpec, tile: Tile, first: int, out: Path) -> Sequence[str]:
    """Class maps of every baseline for every part of the tile; the parts' keys."""
    keys = []
    for number, part in enumerate(parts_of(tile), first):
        keys.append(part_key(np.asarray(part.image)))
        for name, predict in spec.baselines.items():
            said = np.asarray(predict(part.image), np.int64)
            _save(out / "baselines" / name / f"{number}.npy", narrowed(said, "int64"))
    return keys


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=False)


def _provenance(root: Path) -> dict[str, Any]:
    """What the prepared data set says of where it comes from, nothing where it says nothing."""
    path = root / PROVENANCE_FILE
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}", "harness data prepare NAME --force") from error
    return found if isinstance(found, dict) else {}
