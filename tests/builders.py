"""Values made by hand for tests: a checkpoint, an environment, a profile and whole records, all from plain arguments."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.artifact import CHECKPOINT_FILE, WEIGHTS_FILE, Checkpoint, DataUse, Preprocessing
from harness.core.deployment import DeploymentProfile
from harness.core.files import sha256_of_file, sha256_of_text, write_value
from harness.core.measurement import Interval, Measurement, Missing
from harness.core.record import Advice, Cell, Environment, ProfileRecord
from harness.core.specs import Band, DatasetSpec

BANDS = (Band(name="red", wavelength_um=0.66), Band(name="green", wavelength_um=0.55), Band(name="blue", wavelength_um=0.47))


def checkpoint(model: str = "unet+unet", *, regime: str = "finetune", data: str = "bluemarble_ice", **fields: Any) -> Checkpoint:
    """A checkpoint of 31 million parameters; the same arguments give the same sha256."""
    given = {
        "model": model,
        "bands": BANDS,
        "classes": ("other", "ice"),
        "input_size": 128,
        "preprocessing": Preprocessing(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)),
        "dataset": DataUse(name=data, version="1.0", tile=128),
        "regime": regime,
        "parameters": 31_000_000,
        "weights_sha256": sha256_of_text(f"{model} {regime} {data}"),
    }
    return Checkpoint(**{**given, **fields})


def fake_checkpoint(folder: Path, spec: DatasetSpec, weights: bytes = b"not read") -> Path:
    """A checkpoint folder for the fake runtime, which reads no weights, with the bands and classes of a data set of tiles of 64 px."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(weights)
    made = checkpoint(
        bands=spec.bands,
        classes=spec.classes,
        input_size=64,
        preprocessing=Preprocessing(mean=spec.mean, std=spec.std),
        dataset=DataUse(name=spec.name, version=spec.version),
        weights_sha256=sha256_of_file(folder / WEIGHTS_FILE),
    )
    write_value(folder / CHECKPOINT_FILE, made)
    return folder


def environment(machine: str = "lab-1", **fields: Any) -> Environment:
    """Two cores of an invented processor."""
    given = {"cpu": "Example CPU 7", "cores": 2, "memory": 8_000_000_000, "os": "Linux", "python": "3.11.9", "threads": 2, "fingerprint": "f0"}
    return Environment(**{**given, "machine": machine, **fields})


def profile(name: str = "cpu-default", **fields: Any) -> DeploymentProfile:
    return DeploymentProfile(**{"schema": 1, "name": name, "purpose": "tests", **fields})


def spread(median: float, *, count: int = 101, width: float = 0.1) -> tuple[float, ...]:
    """`count` samples, evenly spaced over median * (1 ± width / 2), in an order without memory; the middle one is the median."""
    values = [median * (1 + width * (index / (count - 1) - 0.5)) for index in range(count)]
    return tuple(random.Random(0).sample(values, count))


def latency(median: float, *, count: int = 101, width: float = 0.1) -> Measurement:
    return Measurement(quantity="latency", samples=spread(median, count=count, width=width), warmup=(median * 3,))


def miou(value: float, *, half: float = 0.03, baselines: Mapping[str, float] | None = None) -> Measurement:
    """An mIoU with an interval of value ± half and the detail that the accuracy probe writes."""
    detail = {"per_class": {"other": value + 0.02, "ice": value - 0.02}, "tiles": 60, "split": "test", "regions": 20, "baselines": dict(baselines or {})}
    bounds = Interval(low=value - half, high=value + half, method="bootstrap over regions")
    return Measurement(quantity="miou", samples=(value,), bounds=bounds, detail=detail)


def single(quantity: str, value: float) -> Measurement:
    return Measurement(quantity=quantity, samples=(value,))


def failed(quantity: str, reason: str) -> Missing:
    return Missing(quantity=quantity, why="failed", reason=reason)


def outcomes(*, p50: float = 0.05, score: float = 0.9, gflop: float = 18.0, baselines: Mapping[str, float] | None = None) -> tuple[Measurement, ...]:
    """All that a good run measures."""
    return (
        latency(p50),
        miou(score, baselines=baselines),
        single("forward_flops", gflop * 1e9),
        single("parameters", 31_000_000),
        single("peak_host_memory", 512_000_000),
        single("artifact_size", 124_000_000),
        single("argmax_agreement", 0.99987),
        single("miou_drop", 0.0002),
    )


def record(
    model: str = "unet+unet",
    *,
    backend: str = "torch_eager",
    measured: Sequence[Measurement | Missing] | None = None,
    created: str = "2026-11-21T10:00:00+00:00",
    precision: str = "fp32",
    machine: str = "lab-1",
    made: Checkpoint | None = None,
    warnings: Sequence[Advice] = (),
    **fields: Any,
) -> ProfileRecord:
    """A whole record; fields named as in Cell go to its cell, the others replace the record's. The id follows from the arguments."""
    made = made or checkpoint(model)
    own = fields.pop("environment", environment(machine))
    here = fields.pop("profile", profile())
    cell: dict[str, Any] = {name: fields.pop(name) for name in ("device", "batch", "tile", "threads", "artifact_sha256", "variant") if name in fields}
    name = f"{model} {made.sha256} {backend} {precision} {machine} {created} {cell} {here.name}"
    given = {
        "id": sha256_of_text(name)[:32],
        "created": created,
        "harness_version": "0.1.0",
        "cell": cell_of(made, backend, precision, cell),
        "checkpoint": made,
        "environment": own,
        "profile": here,
        "profile_sha256": here.sha256,
        "data": made.dataset,
        "outcomes": tuple(outcomes() if measured is None else measured),
        "warnings": tuple(warnings),
    }
    return ProfileRecord(**{**given, **fields})


def cell_of(made: Checkpoint, backend: str, precision: str, fields: Mapping[str, Any]) -> Cell:
    """The cell of a checkpoint on a backend: batch 1, 128 px, two threads, CPU."""
    form = "checkpoint" if backend.startswith("torch") else "onnx"
    given = {
        "model": made.model,
        "format": form,
        "precision": precision,
        "backend": backend,
        "device": "cpu",
        "batch": 1,
        "tile": 128,
        "threads": 2,
        "artifact_sha256": sha256_of_text(f"{made.sha256} {form} {precision}"),
        "checkpoint_sha256": made.sha256,
    }
    return Cell(**{**given, **fields})
