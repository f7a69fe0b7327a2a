"""Bytes on disk of the artifact, and its parameters."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject


class Size:
    quantities = ("artifact_size", "parameters")

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        yield Measurement(quantity="artifact_size", samples=(float(subject.artifact.size),), detail={"file": subject.artifact.file})
        yield Measurement(quantity="parameters", samples=(float(subject.artifact.checkpoint.parameters),), detail={"source": "checkpoint"})


PROBE = Size()
