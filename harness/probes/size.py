"""Bytes on disk of the artifact, and its parameters."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject


class Size:
    quantities = ("artifact_size", "parameters")

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        yield Measurement(quantity="artifact_size", samples=(float(subject.artifact.size),), detail={"file": subject.artifact.file})
        checkpoint = subject.artifact.checkpoint
        if checkpoint.is_foreign and not checkpoint.parameters:
            yield Missing(quantity="parameters", why="unsupported", reason="the file does not say which of its tensors are weights")
            return
        source = "floating-point tensors of the file" if checkpoint.is_foreign else "checkpoint"
        yield Measurement(quantity="parameters", samples=(float(checkpoint.parameters),), detail={"source": source})


PROBE = Size()
