"""Deployment profiles: where a model must run, at what size, how it is sampled, and what is acceptable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.core.errors import ConfigError, UnknownNameError
from harness.core.files import canonical_json, read_yaml, sha256_of_text
from harness.core.quantity import quantity
from harness.core.specs import Value
from harness.core.tolerance import tolerance_from

PROBES = ("latency", "memory", "flops", "size", "accuracy", "parity")
#: Those that a profile asks for by name; they run after the others, so that they can't disturb them.
MORE_PROBES = ("tile", "roofline", "energy")


class Runtime(Value):
    """Which cells to profile. None means: every backend, format or precision at hand. `threads` None: all cores we may use."""

    backend: str | None = None
    format: str | None = None
    precision: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int | None = Field(None, ge=1)
    options: dict[str, Any] = {}


class InputShape(Value):
    """`tile` None: the size that the checkpoint was trained at. Bands and classes come from the checkpoint.

    `batches`, smallest first: one record per batch instead of one of `batch`, until memory or the throughput's growth ends.
    """

    batch: int = Field(1, ge=1, strict=True)
    batches: tuple[Annotated[int, Field(ge=1)], ...] = ()
    tile: int | None = Field(None, ge=1)

    @field_validator("batches")
    @classmethod
    def _growing(cls, batches: tuple[int, ...]) -> tuple[int, ...]:
        if list(batches) != sorted(set(batches)):
            raise ValueError("batches grow and repeat none")
        return batches


class Sampling(Value):
    """When to stop warming up and measuring; seconds of wall time, `target_halfwidth` relative to the median."""

    isolate: bool = True
    warmup_runs: int = Field(10, ge=1)
    warmup_seconds: float = Field(1.0, ge=0)
    warmup_max_seconds: float = Field(20.0, gt=0)
    min_runs: int = Field(30, ge=6)
    min_seconds: float = Field(3.0, ge=0)
    max_seconds: float = Field(30.0, gt=0)
    target_halfwidth: float = Field(0.02, gt=0, lt=1)
    timeout_seconds: float = Field(900.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> Sampling:
        if self.max_seconds < self.min_seconds:
            raise ValueError("max_seconds is smaller than min_seconds")
        return self


class Limit(Value):
    """One bound on a statistic of a quantity, in base units."""

    quantity: str
    statistic: str = "p50"
    max: float | None = Field(None, allow_inf_nan=False)
    min: float | None = Field(None, allow_inf_nan=False)

    @field_validator("quantity")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            return quantity(name).name
        except UnknownNameError as error:
            raise ValueError(error.message) from error

    @field_validator("statistic")
    @classmethod
    def _percentile(cls, name: str) -> str:
        if not re.fullmatch(r"p[1-9][0-9]?|mean", name):
            raise ValueError("a statistic is mean or p1 to p99")
        return name

    @model_validator(mode="after")
    def _bounded(self) -> Limit:
        if (self.max is None) == (self.min is None):
            raise ValueError("a limit has either max or min")
        return self


class DeploymentProfile(Value):
    """A reviewed promise, readable alone; its hash goes into every record."""

    format_version: Literal[1] = Field(alias="schema", serialization_alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    purpose: str
    runtime: Runtime = Runtime()
    input: InputShape = InputShape()
    sampling: Sampling = Sampling()
    probes: tuple[str, ...] = Field(PROBES, min_length=1)
    split: Literal["train", "val", "test"] = "test"
    max_tiles: int | None = Field(None, ge=1)
    budget: tuple[Limit, ...] = ()
    regression: dict[str, str | float] = {}

    model_config = {"frozen": True, "extra": "forbid", "populate_by_name": True, "serialize_by_alias": True}

    @field_validator("regression")
    @classmethod
    def _comparable(cls, tolerances: dict[str, str | float]) -> dict[str, str | float]:
        try:
            for name, value in tolerances.items():
                quantity(name)
                tolerance_from(value)
        except ConfigError as error:
            raise ValueError(error.message) from error
        return tolerances

    @property
    def sha256(self) -> str:
        unset = None if self.input.batches else {"input": {"batches"}}  # a field that is not used leaves older hashes as they were
        return sha256_of_text(canonical_json(self.model_dump(mode="json", exclude=unset)))

    def at_batch(self, batch: int) -> DeploymentProfile:
        """The same profile for one batch of a sweep."""
        return self.model_copy(update={"input": self.input.model_copy(update={"batch": batch})})


def profile_folders() -> list[Path]:
    """Where the shipped profiles lie: beside the packages in a checkout, inside the package when installed."""
    package = Path(__file__).resolve().parents[1]
    return [folder for folder in (package.parent / "profiles", package / "profiles") if folder.is_dir()]


def read_profile(name_or_path: str) -> DeploymentProfile:
    """A profile by file path, or a shipped one by name. Raises ConfigError naming the file and the key."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or "/" in name_or_path:
        if not path.is_file():
            raise ConfigError(f"profile {path} does not exist", "harness list profiles")
        return read_yaml(path, DeploymentProfile, "compare it with profiles/cpu-default.yaml")
    shipped = {file.stem: file for folder in profile_folders() for file in folder.glob("*.yaml")}
    if name_or_path not in shipped:
        raise UnknownNameError("profile", name_or_path, shipped)
    return read_yaml(shipped[name_or_path], DeploymentProfile)
