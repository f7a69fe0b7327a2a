"""End to end over one tile, from its file to its map of classes, with what each step takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from harness.core.measurement import Measurement, Missing, percentile
from harness.core.ports import Subject
from harness.support.layout import as_input, filled, logits_from, window_side
from harness.support.windows import count_windows, predict

STEPS = ("read", "normalize", "copy", "run", "fetch", "stitch", "argmax")
MIN_TILES, MAX_TILES = 6, 100
#: Of the profile's longest time for one quantity.
SHARE = 1 / 3


class TileLatency:
    quantities = ("tile_latency",)

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        if subject.dataset is None:
            yield Missing(quantity="tile_latency", why="skipped", reason="no data set whose tiles could be read")
            return
        source, clock, pass_ = subject.tiles(), subject.clock, _Pass(subject)
        pass_.over(source[0].image)  # warm
        rows: list[dict[str, float]] = []
        begin = clock()
        while len(rows) < MIN_TILES or (len(rows) < MAX_TILES and clock() - begin < SHARE * subject.profile.sampling.max_seconds):
            start = clock()
            image = source[len(rows) % len(source)].image
            read = clock() - start
            rows.append({"read": read, **pass_.over(image)})
        steps = {name: percentile([row[name] for row in rows], 0.5) for name in STEPS}
        detail: dict[str, object] = {"steps": steps, "normalize": "with layout and type" if subject.artifact.checkpoint.is_foreign else "in the graph"}
        detail |= {"tile": list(image.shape[1:]), "windows": count_windows(image.shape[1], image.shape[2], pass_.side), "batch": subject.profile.input.batch}
        yield Measurement(quantity="tile_latency", samples=tuple(sum(row.values()) for row in rows), detail=detail)


@dataclass
class _Pass:
    """One tile through the model, timed by step; `read` is the caller's."""

    subject: Subject
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def side(self) -> int:
        return window_side(self.subject.artifact)

    def over(self, image: np.ndarray) -> dict[str, float]:
        clock = self.subject.clock
        self.seconds = dict.fromkeys(STEPS[1:], 0.0)
        start = clock()
        logits = predict(self.run, image, self.side, batch=self.subject.profile.input.batch)
        stitched = clock()
        logits.argmax(0)
        self.seconds["argmax"] = clock() - stitched
        self.seconds["stitch"] = stitched - start - sum(self.seconds[name] for name in ("normalize", "copy", "run", "fetch"))
        return self.seconds

    def run(self, images: np.ndarray) -> np.ndarray:
        subject, clock, session = self.subject, self.subject.clock, self.subject.session
        whole = filled(images, subject.fixed_batch)
        marks = [clock()]
        inputs = as_input(whole, subject.artifact)
        marks.append(clock())
        session.bind([inputs])
        marks.append(clock())
        session.run()
        session.sync()
        marks.append(clock())
        logits = logits_from(session.outputs(), subject.artifact, (whole.shape[2], whole.shape[3]))[: len(images)]
        marks.append(clock())
        for name, start, end in zip(("normalize", "copy", "run", "fetch"), marks, marks[1:], strict=False):
            self.seconds[name] += end - start
        return logits


PROBE = TileLatency()
