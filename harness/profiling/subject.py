"""An opened artifact with its inputs: what the probes look at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.core.artifact import Artifact, read_subject
from harness.core.deployment import DeploymentProfile
from harness.core.errors import MeasurementError, UnavailableError
from harness.core.ports import Clock, Session
from harness.core.registry import BACKENDS, DATASETS
from harness.core.specs import DatasetSpec, Tile, TileSource
from harness.profiling.job import Job
from harness.support import host_memory
from harness.support.clock import wall_clock
from harness.support.windows import predict

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

    def examples(self) -> list[list[np.ndarray]]:
        batch = self.profile.input.batch
        tiles = np.load(self.job.inputs_file, allow_pickle=False)
        return [[np.ascontiguousarray(tiles[start : start + batch])] for start in range(0, len(tiles) - batch + 1, batch)]

    def predictions(self) -> Iterator[tuple[Tile, np.ndarray]]:
        spec, folder = self.dataset, self.job.outputs_folder
        if spec is None or self.job.data_root is None:
            raise MeasurementError("no data set to predict on", "harness profile CHECKPOINT --data NAME")
        source = spec.open(self.job.data_root, self.profile.split)
        count = min(len(source), self.profile.max_tiles or len(source))
        if not folder.exists():
            self._predict_all(source, count)
            self._compare_with_timed()
        for index in range(count):
            yield source[index], np.load(folder / f"{index}.npy", allow_pickle=False)

    def _predict_all(self, source: TileSource, count: int) -> None:
        partial = self.job.outputs_folder.with_suffix(".partial")
        partial.mkdir(parents=True)
        for start in range(0, count, self.profile.input.batch):
            indices = range(start, min(start + self.profile.input.batch, count))
            logits = self._logits([source[index].image for index in indices])
            for index, one in zip(indices, logits, strict=True):
                np.save(partial / f"{index}.npy", one)
        partial.rename(self.job.outputs_folder)

    def _compare_with_timed(self) -> None:
        """Fast but wrong must not pass: logits seen while timing equal those that are scored (the idea of MLPerf's TEST01)."""
        if self.timed is None or not self.job.dataset:
            return
        batch, logits = self.timed
        if logits.shape[1:] != np.load(self.job.outputs_folder / "0.npy", mmap_mode="r").shape:
            return  # tiles are covered by windows, so no scored logit is that of one call
        for offset, seen in enumerate(logits):
            scored = np.load(self.job.outputs_folder / f"{batch * self.profile.input.batch + offset}.npy", allow_pickle=False)
            difference = float(np.abs(seen - scored).max())
            if not difference <= SAME * max(1.0, float(np.abs(scored).max())):
                raise MeasurementError(f"a logit seen while timing differs by {difference:.3g} from the scored one: the timed call computed something else")

    def _logits(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Logits (K, H, W) of each image; one that is not of the artifact's size is covered by windows."""
        size = self.artifact.inputs[0].shape[-1]
        if all(image.shape[1:] == (size, size) for image in images):
            return list(self._run(np.stack(images)))
        return [predict(self._run, image, int(size), batch=self.profile.input.batch) for image in images]

    def _run(self, images: np.ndarray) -> np.ndarray:
        self.session.bind([np.ascontiguousarray(images)])
        self.session.run()
        self.session.sync()
        return self.session.outputs()[0]


@contextlib.contextmanager
def opened(job: Job) -> Iterator[OpenSubject]:
    """Import the runtime, open the artifact, and say what each step cost. Raises what the backend raises."""
    artifact = read_subject(job.folder)
    backend = BACKENDS.load(job.backend)
    reason = backend.unavailable(job.device)
    if reason:
        raise UnavailableError(reason, "harness doctor")
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
