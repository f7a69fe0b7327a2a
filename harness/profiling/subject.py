"""An opened artifact with its inputs: what the probes look at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.core.artifact import Artifact, read_subject
from harness.core.deployment import DeploymentProfile
from harness.core.errors import MeasurementError, UnavailableError
from harness.core.measurement import Measurement
from harness.core.ports import Clock, Session
from harness.core.registry import BACKENDS, DATASETS
from harness.core.specs import DatasetSpec, Tile, TileSource
from harness.profiling.environment import environment
from harness.profiling.job import Job
from harness.support import host_memory
from harness.support.clock import wall_clock
from harness.support.layout import as_input, filled, logits_from, require_readable, window_side
from harness.support.scenes import cut, parts_of
from harness.support.windows import predict_strips

#: A logit seen while timing may differ from the scored one by this share of the largest: runtimes may reorder sums, no more.
SAME = 1e-3


@dataclass
class OpenSubject:
    """One artifact opened in one backend: `core.ports.Subject`. `load_seconds`, `import_peak` and `load_peak` say what opening cost."""

    job: Job
    folder: Path
    artifact: Artifact
    profile: DeploymentProfile
    session: Session
    load_seconds: float
    import_peak: int
    load_peak: int
    dataset: DatasetSpec | None
    example_source: str
    reference: Path | None
    no_reference: str
    clock: Clock
    timed: tuple[int, np.ndarray] | None = None
    known: dict[str, Measurement] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        return self.job.threads

    @property
    def fingerprint(self) -> str:
        return environment(self.job.threads).fingerprint

    @property
    def pictures(self) -> Path:
        return self.job.pictures_folder

    def tiles(self) -> TileSource:
        if self.dataset is None or self.job.data_root is None:
            raise MeasurementError("no data set to read tiles of", "harness profile CHECKPOINT --data NAME")
        return self.dataset.open(self.job.data_root, self.profile.split)

    def examples(self) -> list[list[np.ndarray]]:
        return examples_of(self.job, self.artifact)

    def predictions(self) -> Iterator[tuple[Tile, np.ndarray]]:
        source, folder = self.tiles(), self.job.outputs_folder
        count = min(len(source), self.profile.max_tiles or len(source))
        if not folder.exists():
            self._predict_all(source, count)
            self._compare_with_timed()
        number = 0
        for index in range(count):
            for part in parts_of(source[index]):
                yield part, np.load(folder / f"{number}.npy", allow_pickle=False)
                number += 1

    def _predict_all(self, source: TileSource, count: int) -> None:
        """Write the logits of every tile, one file a part; nothing grows with the split but the files."""
        partial = self.job.outputs_folder.with_suffix(".partial")
        partial.mkdir(parents=True)
        number = 0
        for start in range(0, count, self.profile.input.batch):
            tiles = [source[index] for index in range(start, min(start + self.profile.input.batch, count))]
            for logits in self._logits([tile.image for tile in tiles]):
                np.save(partial / f"{number}.npy", logits)
                number += 1
        partial.rename(self.job.outputs_folder)

    def _compare_with_timed(self) -> None:
        """Fast but wrong must not pass: logits seen while timing equal those that are scored (the idea of MLPerf's TEST01)."""
        if self.timed is None or not self.job.dataset:
            return
        batch, logits = self.timed
        if logits.shape[1:] != np.load(self.job.outputs_folder / "0.npy", mmap_mode="r").shape:
            return  # tiles are covered by windows, so no scored logit is that of one call
        for offset, seen in enumerate(logits):
            file = self.job.outputs_folder / f"{batch * self.profile.input.batch + offset}.npy"
            if not file.is_file():
                continue  # the profile scores fewer tiles than were timed
            scored = np.load(file, allow_pickle=False)
            difference = float(np.abs(seen - scored).max())
            if not difference <= SAME * max(1.0, float(np.abs(scored).max())):
                raise MeasurementError(f"a logit seen while timing differs by {difference:.3g} from the scored one: the timed call computed something else")

    def _logits(self, images: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Logits (K, H, W) of each part of each image; one that is not of the artifact's size is covered by windows."""
        size = window_side(self.artifact)
        if all(image.shape[1:] == (size, size) for image in images):
            for logits in self._run(np.stack(images)):
                yield from cut([(0, logits)], size)
            return
        for image in images:
            yield from cut(predict_strips(self._run, image, size, batch=self.profile.input.batch), image.shape[2])

    def _run(self, images: np.ndarray) -> np.ndarray:
        """Logits (B, K, H, W) of images (B, C, H, W)."""
        whole = filled(images, self.artifact)
        self.session.bind([as_input(whole, self.artifact)])
        self.session.run()
        self.session.sync()
        return logits_from(self.session.outputs(), self.artifact, (whole.shape[2], whole.shape[3]))[: len(images)]


def examples_of(job: Job, artifact: Artifact) -> list[list[np.ndarray]]:
    """Batches of inputs that the parent wrote, each a list with one array per input of the artifact."""
    if artifact.checkpoint.is_foreign and job.dataset is None:
        inputs = [np.load(job.foreign_inputs_file(index), allow_pickle=False) for index in range(len(artifact.inputs))]
        return [list(values) for values in zip(*inputs, strict=True)]
    batch, tiles = job.profile.input.batch, np.load(job.inputs_file, allow_pickle=False)
    return [[as_input(tiles[start : start + batch], artifact)] for start in range(0, len(tiles) - batch + 1, batch)]


@contextlib.contextmanager
def opened(job: Job) -> Iterator[OpenSubject]:
    """Import the runtime, open the artifact, and say what each step cost. Raises what the backend raises."""
    artifact = job.artifact or read_subject(job.folder)
    require_readable(artifact, job.folder)
    backend = BACKENDS.load(job.backend)
    reason = backend.unavailable(job.device)
    if reason:
        raise UnavailableError(reason, "harness doctor")
    if hasattr(backend, "import_model"):
        backend.import_model(artifact)
    measurable = host_memory.resettable() is None
    import_peak = host_memory.peak() if measurable else 0
    begin = wall_clock()
    with backend.open(job.folder, artifact, device=job.device, threads=job.threads, options=job.profile.runtime.options) as session:
        load_seconds = wall_clock() - begin
        load_peak = host_memory.peak() if measurable else 0
        yield OpenSubject(
            job=job,
            folder=job.folder,
            artifact=artifact,
            profile=job.profile,
            session=session,
            load_seconds=load_seconds,
            import_peak=import_peak,
            load_peak=load_peak,
            dataset=DATASETS.load(job.dataset) if job.dataset else None,
            example_source=f"tiles of {job.dataset}" if job.dataset else "random",
            reference=job.reference,
            no_reference=job.no_reference,
            clock=wall_clock,
        )
