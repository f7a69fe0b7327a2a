"""One immutable profiling result: one artifact on one machine under one profile."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field, FiniteFloat, GetPydanticSchema, with_config
from typing_extensions import TypedDict

from harness.core.artifact import Checkpoint, DataUse
from harness.core.deployment import DeploymentProfile
from harness.core.files import sha256_of_text
from harness.core.measurement import Measurement, Missing, Outcome
from harness.core.specs import Value

#: Sides and counts of a run, small enough that products of them are floats.
_Count = Annotated[int, Field(ge=1, le=2**31)]


class Environment(Value):
    """The machine and the software. `fingerprint` covers only what moves numbers, so no clock frequency of the moment."""

    machine: str
    cpu: str
    cores: _Count
    flags: tuple[str, ...] = ()
    memory: int = Field(ge=0, le=2**63)
    os: str
    python: str
    gpu: str | None = None
    driver: str | None = None
    cuda: str | None = None
    packages: dict[str, str] = {}
    threads: int
    container: str | None = None
    load: dict[str, FiniteFloat] = {}
    fingerprint: str


#: Of a cell's folder, so that with a profile's name and what a half-written file is called it stays below the 255 bytes of most file systems.
LONGEST_NAME = 150


class Cell(Value):
    """What was run: the artifact and how. `shape`: of one item of every input, where the model was not trained here and `tile` doesn't say it.

    `variant`: the settings of the export that differ from their defaults, in words.
    """

    model: str
    format: str
    precision: str
    backend: str
    device: str
    batch: _Count
    tile: _Count
    threads: int
    artifact_sha256: str
    checkpoint_sha256: str
    shape: str = ""
    variant: str = ""

    @property
    def exported_as(self) -> str:
        """Precision and variant."""
        return f"{self.precision} ({self.variant})" if self.variant else self.precision

    @property
    def subject(self) -> str:
        """The name of the cell's folder of records: safe on every file system, and short enough for all."""
        text = f"{self.model}--{self.backend}-{self.device}--{self.precision}{'--' if self.variant else ''}{self.variant}"
        name = re.sub(r"[^A-Za-z0-9.+_-]+", "-", text)
        return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 9]}-{sha256_of_text(text)[:8]}"


class Advice(Value):
    """Something that makes a number doubtful, and what to do about it."""

    kind: str
    message: str
    advice: str = ""


@with_config(ConfigDict(extra="allow"))
class CodeState(TypedDict, total=False):
    """The git repository in which a record was made; `changed`: tracked files differed from the commit."""

    commit: str
    changed: bool


@with_config(ConfigDict(extra="allow"))
class RecordDetail(TypedDict, total=False):
    """The keys of a record's detail that readers know; others may stand beside them."""

    code: CodeState
    export_parity: dict[str, Any]
    facts: dict[str, Any]


class ProfileRecord(Value):
    """Everything measured on one cell in one run; a tradeoff row never mixes records.

    `data`: the set whose tiles were run and scored, None where the inputs were random numbers.
    """

    format_version: int = Field(1, alias="schema", serialization_alias="schema")
    id: str
    created: str
    harness_version: str
    task: str = "segmentation"
    cell: Cell
    checkpoint: Checkpoint
    environment: Environment
    profile: DeploymentProfile
    profile_sha256: str
    data: DataUse | None = None
    outcomes: tuple[Outcome, ...]
    warnings: tuple[Advice, ...] = ()
    command: str = ""
    detail: Annotated[dict[str, Any], GetPydanticSchema(lambda _, handler: handler.generate_schema(RecordDetail))] = {}

    model_config = {"frozen": True, "extra": "forbid", "populate_by_name": True, "serialize_by_alias": True}

    def outcome(self, quantity: str) -> Measurement | Missing:
        """The outcome of a quantity; a Missing "skipped" where the run did not ask for it."""
        for outcome in self.outcomes:
            if outcome.quantity == quantity:
                return outcome
        return Missing(quantity=quantity, why="skipped", reason="not among the probes of this run")

    def measured(self, quantity: str) -> Measurement | None:
        """The measurement of a quantity, None where it is missing."""
        outcome = self.outcome(quantity)
        return outcome if isinstance(outcome, Measurement) else None
