"""What a child process is told to measure, and what it answers. The job file is the reproduction command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.artifact import Artifact
from harness.core.deployment import DeploymentProfile
from harness.core.measurement import Outcome
from harness.core.record import Advice
from harness.core.specs import Value


class Job(Value):
    """One cell: an artifact on a backend under a profile. Paths are absolute.

    `artifact` None: it is described in `folder`; a model that was not made here is described by `artifact`. `sha256`: the identity of the artifact
    that was planned, "" for whatever lies there.

    `work` is the folder for this cell's inputs and outputs; `reference` holds the logits of the checkpoint on torch_eager.
    `keep_outputs`: the logits of every tile are for others too, so they lie in `outputs_folder` in the end.
    """

    folder: Path
    artifact: Artifact | None = None
    sha256: str = ""
    backend: str
    device: str
    threads: int
    profile: DeploymentProfile
    dataset: str | None
    data_root: Path | None
    work: Path
    reference: Path | None = None
    no_reference: str = ""
    keep_outputs: bool = True

    @property
    def answer_file(self) -> Path:
        return self.work / "answer.json"

    @property
    def inputs_file(self) -> Path:
        return self.work / "inputs.npy"

    def foreign_inputs_file(self, index: int) -> Path:
        """Values of one input of a model that is fed random numbers: all batches, stacked."""
        return self.work / f"inputs-{index}.npy"

    @property
    def sides_file(self) -> Path:
        """Height and width of the tiles whose first windows are the inputs; not there where the inputs are random."""
        return self.work / "sides.json"

    @property
    def timed_file(self) -> Path:
        """Logits of a call that was timed, to be compared with those that are scored."""
        return self.work / "timed.npy"

    @property
    def pictures_folder(self) -> Path:
        return self.work / "pictures"

    @property
    def outputs_folder(self) -> Path:
        return self.work / "outputs"


class Answer(Value):
    """What has been measured so far; rewritten after each probe, so a crash loses only the probe that crashed.

    `is_whole`: all was asked and answered, so that what happens to the process afterwards takes nothing away.
    """

    outcomes: tuple[Outcome, ...] = ()
    warnings: tuple[Advice, ...] = ()
    facts: dict[str, Any] = {}
    failed: str = ""
    example_source: str = ""
    is_whole: bool = False
