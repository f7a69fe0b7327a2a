"""A bundle by hand, without the code that makes bundles: a nearest-color classifier in ONNX, tiles, and the logits that numpy computes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.artifact import Artifact, DataUse, Preprocessing
from harness.core.specs import Band, TensorSpec
from tests import builders
from tests.foreign_models import nearest_color, segmenter

SIDE, TILES = 16, 3
BANDS = tuple(Band(name=f"b{number}", wavelength_um=0.5) for number in range(4))
CLASSES = ("background", "disk", "bar")
MODEL, ARTIFACT = "artifacts/onnx-fp32/model.onnx", "artifacts/onnx-fp32/artifact.json"


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def tile(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A uint8 image (4, 16, 16) and a mask (16, 16); every number another."""
    random = np.random.default_rng(number)
    return random.integers(0, 256, (4, SIDE, SIDE)).astype(np.uint8), random.integers(0, 3, (SIDE, SIDE)).astype(np.uint8)


def logits(image: np.ndarray) -> np.ndarray:
    weights, bias = nearest_color()
    return np.einsum("kc,chw->khw", weights[:, :, 0, 0], image.astype(np.float32)) + bias[:, None, None]


def members(folder: Path) -> dict[str, bytes]:
    """The files of a good bundle, all but the manifest."""
    model = segmenter(folder / "model.onnx").read_bytes()
    found = {MODEL: model, ARTIFACT: artifact(model).model_dump_json().encode()}
    for number in range(TILES):
        image, mask = tile(number)
        found |= {f"data/images/{number}.npy": npy(image), f"data/masks/{number}.npy": npy(mask)}
        found |= {f"data/reference/{number}.npy": npy(logits(image)), f"data/baselines/majority/{number}.npy": npy(np.zeros((SIDE, SIDE), np.uint8))}
    return found


def artifact(model: bytes, **fields: Any) -> Artifact:
    made = builders.checkpoint(
        bands=BANDS,
        classes=CLASSES,
        input_size=SIDE,
        preprocessing=Preprocessing(mean=(0.0,) * 4, std=(1.0,) * 4),
        dataset=DataUse(name="synthetic", version="1", tile=SIDE),
    )
    given = {
        "format": "onnx",
        "precision": "fp32",
        "file": "model.onnx",
        "sha256": hashlib.sha256(model).hexdigest(),
        "size": len(model),
        "inputs": (TensorSpec(name="image", shape=("batch", 4, SIDE, SIDE), dtype="float32"),),
        "outputs": (TensorSpec(name="y", shape=("batch", 3, SIDE, SIDE), dtype="float32"),),
        "checkpoint": made,
        "checkpoint_sha256": made.sha256,
    }
    return Artifact(**{**given, **fields})


def manifest(files: dict[str, bytes], **fields: Any) -> dict[str, Any]:
    """What is said of the files, with `fields` instead of what is true."""
    images = [tile(number)[0].astype(np.float32) for number in range(TILES)]
    data = {
        "name": "synthetic",
        "version": "1",
        "split": "test",
        "tiles_in_split": 12,
        "tiles": [{"name": f"t{number}", "region": f"r{number}", "height": SIDE, "width": SIDE} for number in range(TILES)],
        "bands": [band.model_dump() for band in BANDS],
        "classes": CLASSES,
        "mean": [0.0] * 4,
        "std": [1.0] * 4,
        "tile": SIDE,
        "license": "Apache-2.0",
        "citation": "made by hand",
        "baselines": ["majority"],
        "parts": [hashlib.sha256(image.tobytes()).hexdigest() for image in images],
    }
    made = artifact(b"").checkpoint
    facts = {name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()}
    return {"schema": 1, "model": made.model, "checkpoint_sha256": made.sha256, "artifacts": ["onnx-fp32"], "data": data, "files": facts, **fields}


def pack(path: Path, files: dict[str, bytes], said: dict[str, Any] | bytes | None = None) -> Path:
    """A zip of the files; `said` is the manifest, the true one if not given."""
    content = said if isinstance(said, bytes) else json.dumps(manifest(files) if said is None else said).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"manifest.json": content, **files}.items():
            archive.writestr(name, data)
    return path
