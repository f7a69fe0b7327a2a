"""An opened artifact with its inputs: what the probes look at."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.core.artifact import Artifact, read_subject
from harness.core.deployment import DeploymentProfile
from harness.core.errors import MeasurementError, UnavailableError
from harness.core.measurement import Measurement
from harness.core.ports import Backend, Clock, Opening, Session
from harness.core.registry import BACKENDS
from harness.core.specs import DatasetSpec, Tile, TileSource
from harness.profiling.data import dataset_of
from harness.profiling.environment import environment
from harness.profiling.job import Job
from harness.support import host_memory
from harness.support.clock import wall_clock
from harness.support.layout import as_input, filled, image_side, logits_from, require_readable, window_side
from harness.support.reading import read_ahead
from harness.support.sampling import timed
from harness.support.scenes import cut, parts_of, spans
from harness.support.windows import predict_stream

#: Pixels of the windows that share a call: more is no faster on a CPU (measured: 32 windows of 64 px), and a GPU wants more to do.
ROOM = {"cpu": 2**17, "cuda": 2**20}
MOST_WINDOWS = 256
#: A logit seen while timing may differ from the scored one by this share of the largest: runtimes may reorder sums, no more.
SAME = 1e-3


@dataclass
class OpenSubject:
    """One artifact opened in one backend: `core.ports.Subject`. `fixed_batch`: the only batch that the session takes, None where it takes any."""

    job: Job
    folder: Path
    artifact: Artifact
    profile: DeploymentProfile
    session: Session
    opening: Opening
    dataset: DatasetSpec | None
    example_source: str
    reference: Path | None
    no_reference: str
    clock: Clock
    timed: tuple[int, np.ndarray] | None = None
    known: dict[str, Measurement] = field(default_factory=dict)
    fixed_batch: int | None = None

    @property
    def threads(self) -> int:
        return self.job.threads

    @property
    def fingerprint(self) -> str:
        return environment(self.job.threads).fingerprint

    @property
    def pictures(self) -> Path:
        return self.job.pictures_folder

    @property
    def tile_sides(self) -> tuple[tuple[int, int], ...]:
        if not self.job.sides_file.is_file():
            return ()
        return tuple((height, width) for height, width in json.loads(self.job.sides_file.read_text()))

    def tiles(self) -> TileSource:
        if self.dataset is None or self.job.data_root is None:
            raise MeasurementError("no data set to read tiles of", "harness profile CHECKPOINT --data NAME")
        return self.dataset.open(self.job.data_root, self.profile.split)

    def examples(self) -> list[list[np.ndarray]]:
        return examples_of(self.job, self.artifact)

    def example(self) -> list[np.ndarray]:
        return example_of(self.job, self.artifact)

    @functools.cached_property
    def first_call_seconds(self) -> float:
        """Wall time of the first call after loading; whoever asks first makes it."""
        self.session.bind(self.example())
        return timed(self._call, self.clock)

    def _call(self) -> None:
        self.session.run()
        self.session.sync()

    def keep_timed(self, batch: int, logits: np.ndarray) -> None:
        """The logits wait in a file, so that they are no part of the memory that is measured after."""
        np.save(self.job.timed_file, logits)
        self.timed = (batch, np.load(self.job.timed_file, mmap_mode="r", allow_pickle=False))

    def predictions(self) -> Iterator[tuple[Tile, np.ndarray]]:
        source, folder = self.tiles(), self.job.outputs_folder
        count = min(len(source), self.profile.max_tiles or len(source))
        if folder.exists():
            yield from self._kept(source, count, folder)
        elif self.job.keep_outputs or (self.reference is not None and "parity" in self.profile.probes):
            yield from self._written(source, count, folder)
        else:
            yield from self._computed(source, count)

    def _kept(self, source: TileSource, count: int, folder: Path) -> Iterator[tuple[Tile, np.ndarray]]:
        parts = (part for tile in read_ahead(source, count) for part in parts_of(tile))
        for number, part in enumerate(parts):
            yield part, np.load(folder / f"{number}.npy", allow_pickle=False)

    def _written(self, source: TileSource, count: int, folder: Path) -> Iterator[tuple[Tile, np.ndarray]]:
        """Give every part as soon as its logits are there, and keep them, one file a part; nothing grows with the split but the files."""
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for number, (part, logits) in enumerate(self._computed(source, count)):
            np.save(partial / f"{number}.npy", logits)
            yield part, logits
        partial.rename(folder)

    def _computed(self, source: TileSource, count: int) -> Iterator[tuple[Tile, np.ndarray]]:
        for number, (part, logits) in enumerate(self._parts(source, count)):
            self._compare_with_timed(number, logits)
            yield part, logits

    def _parts(self, source: TileSource, count: int) -> Iterator[tuple[Tile, np.ndarray]]:
        """Each part with its logits (K, H, W); tiles are read ahead, and windows of neighboring tiles share a call."""
        held: deque[Tile] = deque()
        tiles = read_ahead(source, count)
        first = next(tiles)
        size = window_side(self.artifact)
        is_whole = first.image.shape[1:] == (size, size)
        batch = self.profile.input.batch if is_whole else self._windows_per_call(size)
        if not (is_whole and len(spans(size)) == 1 and self._is_timed_batch_scored(count)):
            self._repeat_timed()

        def images() -> Iterator[np.ndarray]:
            for tile in itertools.chain([first], tiles):
                held.append(tile)
                yield tile.image

        strips = predict_stream(self._run, images(), size, batch=batch)
        for _, rows in itertools.groupby(strips, key=lambda strip: strip[0]):
            tile = held.popleft()
            logits = cut(((top, strip) for _, top, strip in rows), *tile.image.shape[1:])
            yield from zip(parts_of(tile), logits, strict=True)

    def _windows_per_call(self, size: int) -> int:
        """Windows of several tiles go together where the session takes any batch: a runtime does more per second with a fuller one.

        Not where activations are quantized by the range of the whole batch: what is scored would not be what is timed.
        """
        if self.fixed_batch is not None:
            return self.fixed_batch
        if self.artifact.checkpoint.is_foreign or self.artifact.precision == "int8-dynamic":
            return self.profile.input.batch  # of a foreign model nobody has tried another
        largest = int(self.artifact.options.get("max_batch", MOST_WINDOWS))
        return max(self.profile.input.batch, min(ROOM[self.job.device] // size**2, largest))

    def _is_timed_batch_scored(self, count: int) -> bool:
        """Whether the tiles of the batch that was timed are among the first `count`, which are scored."""
        return self.timed is None or (self.timed[0] + 1) * self.profile.input.batch <= count

    def _compare_with_timed(self, number: int, scored: np.ndarray) -> None:
        """Fast but wrong must not pass: logits seen while timing equal those that are scored (the idea of MLPerf's TEST01).

        Where tiles are covered by windows, or scored in blocks, or not all are scored, no scored logit may be that of a timed call: see
        `_repeat_timed`.
        """
        if self.timed is None:
            return
        batch, logits = self.timed
        offset = number - batch * self.profile.input.batch
        if not 0 <= offset < len(logits) or logits.shape[1:] != scored.shape:
            return
        _require_same(logits[offset], scored)

    def _repeat_timed(self) -> None:
        """The batch that was timed once more, as windows are scored, with the same logits."""
        if self.timed is None:
            return
        batch, logits = self.timed
        inputs = example_of(self.job, self.artifact, batch)
        _require_same(logits, self._logits(inputs, image_side(inputs[0], self.artifact)))

    def _run(self, images: np.ndarray) -> np.ndarray:
        """Logits (B, K, H, W) of images (B, C, H, W)."""
        whole = filled(images, self.fixed_batch)
        return self._logits([as_input(whole, self.artifact)], (whole.shape[2], whole.shape[3]))[: len(images)]

    def _logits(self, inputs: list[np.ndarray], side: tuple[int, int]) -> np.ndarray:
        self.session.bind(inputs)
        self._call()
        return logits_from(self.session.outputs(), self.artifact, side)


def _require_same(timed: np.ndarray, scored: np.ndarray) -> None:
    difference = float(np.abs(timed - scored).max())
    if not difference <= SAME * max(1.0, float(np.abs(scored).max())):
        raise MeasurementError(f"a logit seen while timing differs by {difference:.3g} from the scored one: the timed call computed something else")


def examples_of(job: Job, artifact: Artifact) -> list[list[np.ndarray]]:
    """Batches of inputs that the parent wrote, each a list with one array per input of the artifact."""
    random = _has_random_inputs(job, artifact)
    count = len(_mapped(job.foreign_inputs_file(0))) if random else len(_mapped(job.inputs_file)) // job.profile.input.batch
    return [example_of(job, artifact, number) for number in range(count)]


def example_of(job: Job, artifact: Artifact, number: int = 0) -> list[np.ndarray]:
    """One of `examples_of`, in memory of its own: a session that holds it holds nothing of the other batches."""
    if _has_random_inputs(job, artifact):
        return [np.array(_mapped(job.foreign_inputs_file(index))[number]) for index in range(len(artifact.inputs))]
    batch = job.profile.input.batch
    return [as_input(np.array(_mapped(job.inputs_file)[number * batch : (number + 1) * batch]), artifact)]


def _has_random_inputs(job: Job, artifact: Artifact) -> bool:
    return artifact.checkpoint.is_foreign and job.dataset is None


def _mapped(path: Path) -> np.ndarray:
    values: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return values


@contextlib.contextmanager
def opened(job: Job) -> Iterator[OpenSubject]:
    """Import the runtime, open the artifact, and say what each step cost. Raises what the backend raises."""
    artifact = job.artifact or read_subject(job.folder)
    if job.sha256 not in ("", artifact.identity):
        raise MeasurementError(f"{job.folder} was replaced since this run began", "run it again once nothing exports or trains there")
    require_readable(artifact, job.folder)
    backend = BACKENDS.load(job.backend)
    reason = backend.unavailable(job.device)
    if reason:
        raise UnavailableError(reason, "harness doctor")
    if hasattr(backend, "import_model"):
        backend.import_model(artifact)
    measurable = host_memory.resettable() is None
    imported = _held() if measurable else 0
    if measurable:
        host_memory.reset_peak()
    begin = wall_clock()
    with backend.open(job.folder, artifact, device=job.device, threads=job.threads, options=job.profile.runtime.options) as session:
        seconds = wall_clock() - begin
        load_peak = host_memory.peak() - host_memory.program_pages() if measurable else 0
        opening = Opening(seconds, imported, load_peak, _held() if measurable else 0)
        yield OpenSubject(
            job=job,
            folder=job.folder,
            artifact=artifact,
            profile=job.profile,
            session=session,
            opening=opening,
            dataset=dataset_of(job) if job.dataset else None,
            example_source=f"tiles of {job.dataset}" if job.dataset else "random",
            reference=job.reference,
            no_reference=job.no_reference,
            clock=wall_clock,
            fixed_batch=_fixed_batch(backend, artifact, job),
        )


def _held() -> int:
    """Resident bytes without those that were freed and without program files."""
    host_memory.release()
    return host_memory.resident() - host_memory.program_pages()


def _fixed_batch(backend: Backend, artifact: Artifact, job: Job) -> int | None:
    """The batch that the artifact is fixed to, else the profile's where another would be compiled anew or replayed as if it were this one."""
    made_for = artifact.inputs[0].shape[0]
    if isinstance(made_for, int):
        return made_for
    is_bound = getattr(backend, "is_bound_to_shape", False) or bool(job.profile.runtime.options.get("cuda_graph"))
    return job.profile.input.batch if is_bound else None
