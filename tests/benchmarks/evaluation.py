"""Scoring tiles that need windows, against the plain PyTorch loop: read a tile, run one crop at a time, stitch, argmax, count.

Both read the same files with the same reader and give the same confusion matrix, up to pixels where two classes tie to the last bits of
a float32 (batches of another size sum in another order); how many these were is in the row. Ours also keeps every logit in a file, since parity and `harness
check` ask for them. Rounds alternate (ABBA), threads are fixed to one, the reader's thread comes on top of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness import stages
from harness.core.deployment import DeploymentProfile, Runtime
from harness.core.measurement import percentile_interval
from harness.core.registry import DATASETS, METRICS, PROBES
from harness.core.specs import TileSource
from harness.profiling.job import Job
from harness.profiling.subject import OpenSubject, opened
from harness.support.clock import wall_clock
from harness.support.confusion import confusion, miou
from harness.support.model import model_from_checkpoint
from harness.support.torch_session import prepare_torch
from tests.small_checkpoint import small_checkpoint

MODELS = ("timm:mobilenetv3_small_100+unet", "timm:vit_tiny_patch16_224+linear")
SIDE, TILE, TILES, SPLIT, THREADS, ROUNDS = 64, 256, 6, "test", 1, 8
#: Pixels that may be decided otherwise: ties.
TIES = 1e-4


def measure(folder: Path, rounds: int = ROUNDS, models: tuple[str, ...] = MODELS) -> dict[str, Any]:
    """Per model and runtime: seconds of each way, and the ratio plain / ours over rounds with the interval of its median."""
    data = folder / "data"
    DATASETS.load("synthetic").prepare(data, lambda done, total, what: None, tile=TILE)
    rows = [row for number, model in enumerate(models) for row in _rows(folder / f"m{number}", model, data, rounds)]
    return {"window": SIDE, "tile": TILE, "threads": THREADS, "rounds": rounds, "rows": rows}


def _rows(folder: Path, model: str, data: Path, rounds: int) -> list[dict[str, Any]]:
    checkpoint = small_checkpoint(folder, model, size=SIDE)
    onnx, _, _ = stages.export(checkpoint, to="onnx", data="synthetic")
    return [compared(checkpoint, artifact, backend, data, rounds) for backend, artifact in (("onnxruntime", onnx), ("torch_eager", checkpoint))]


def compared(checkpoint: Path, artifact: Path, backend: str, data: Path, rounds: int) -> dict[str, Any]:
    """Both ways in turns. Raises AssertionError where they decide otherwise on more than ties."""
    prepare_torch(THREADS, tf32=False)
    network, source = model_from_checkpoint(checkpoint), DATASETS.load("synthetic").open(data, SPLIT)
    with opened(_job(artifact, backend, data)) as subject:
        ways: dict[str, Callable[[], np.ndarray]] = {
            "plain": lambda: plain(network, source, subject.artifact.checkpoint.num_classes),
            "ours": lambda: ours(subject),
            "all scores": lambda: all_scores(subject),
        }
        matrices = {name: way() for name, way in ways.items()}  # warm
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            for name in ways if number % 2 == 0 else reversed(ways):
                begin = wall_clock()
                ways[name]()
                seconds[name].append(wall_clock() - begin)
    differing = int(np.abs(matrices["plain"] - matrices["ours"]).sum()) // 2
    if differing > TIES * matrices["plain"].sum() or not np.array_equal(matrices["ours"], matrices["all scores"]):
        raise AssertionError(f"{differing} pixels were decided otherwise")
    return {
        "model": subject.artifact.checkpoint.model,
        "backend": backend,
        "tiles": TILES,
        "median_seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "tiles_per_second": {name: TILES / statistics.median(values) for name, values in seconds.items()},
        "plain_over_ours": _ratio(seconds["plain"], seconds["ours"]),
        "plain_over_all_scores": _ratio(seconds["plain"], seconds["all scores"]),
        "pixels": int(matrices["plain"].sum()),
        "pixels_decided_otherwise": differing,
        "miou": {name: miou(matrix, None) for name, matrix in matrices.items()},
    }


def _job(artifact: Path, backend: str, data: Path) -> Job:
    profile = DeploymentProfile(
        schema=1, name="evaluation", purpose="benchmark", runtime=Runtime(threads=THREADS), probes=("accuracy",), split=SPLIT, max_tiles=TILES
    )
    work = artifact / f"work-{backend}"
    return Job(folder=artifact, backend=backend, device="cpu", threads=THREADS, profile=profile, dataset="synthetic", data_root=data, work=work)


def ours(subject: OpenSubject) -> np.ndarray:
    """The confusion matrix by the engine, with mIoU alone: the work of the plain loop."""
    _forget(subject)
    accumulator = METRICS.load("miou").start(subject.artifact.checkpoint.classes, None)
    for tile, logits in subject.predictions():
        accumulator.update(logits, tile.mask, tile.region)
    (found,) = accumulator.result()
    return np.array(found.detail["confusion"])


def all_scores(subject: OpenSubject) -> np.ndarray:
    """The confusion matrix by the accuracy probe: six scores with intervals, and the baselines."""
    _forget(subject)
    found = {outcome.quantity: outcome for outcome in PROBES.load("accuracy").measure(subject)}
    return np.array(found["miou"].detail["confusion"])


def _forget(subject: OpenSubject) -> None:
    """Let the next pass compute again; the files of the last one stay below the benchmark's folder."""
    folder = subject.job.outputs_folder
    if folder.exists():
        folder.rename(folder.with_name(f"{wall_clock():.9f}"))


def plain(network: torch.nn.Module, source: TileSource, classes: int) -> np.ndarray:
    """The loop that one writes first: float32, batch 1."""
    total = np.zeros((classes, classes), np.int64)
    places = range(0, TILE - SIDE + 1, SIDE)
    for index in range(TILES):
        tile = source[index]
        logits = np.zeros((classes, TILE, TILE), np.float32)
        for row in places:
            for left in places:
                crop = torch.from_numpy(tile.image[None, :, row : row + SIDE, left : left + SIDE])
                with torch.inference_mode():
                    logits[:, row : row + SIDE, left : left + SIDE] = network(crop)[0].numpy()
        total += confusion(logits.argmax(0), tile.mask, classes, None)
    return total


def _ratio(plain_seconds: list[float], our_seconds: list[float]) -> dict[str, Any]:
    ratios = [one / other for one, other in zip(plain_seconds, our_seconds, strict=True)]
    interval = percentile_interval(ratios, 0.5)
    return {
        "median": statistics.median(ratios),
        "interval": [interval.low, interval.high] if interval else None,
        "least": min(ratios),
        "largest": max(ratios),
    }
