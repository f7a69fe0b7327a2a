"""The winner as a deployment profile: a file that `harness profile --profile` takes."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from harness.core.deployment import DeploymentProfile, InputShape, Limit, Runtime
from harness.core.files import write_atomic
from harness.core.ports import Backend
from harness.core.registry import BACKENDS
from harness.tuning.assessing import Setting
from harness.tuning.candidates import Candidate
from harness.tuning.choice import Limits

NAME = re.compile(r"[^a-z0-9.-]+")


def profile_of(candidate: Candidate, setting: Setting, limits: Limits, *, name: str, purpose: str) -> DeploymentProfile:
    """The candidate with all its runtime options spelled out, and the limits as its budget. The limit of latency is on the median."""
    backend: Backend = BACKENDS.load(candidate.plan.backend)
    artifact = candidate.plan.artifact
    memory = "peak_device_memory" if setting.device == "cuda" else "peak_host_memory"
    asked = [("miou_drop", limits.drop), (memory, limits.memory), ("latency", limits.latency)]
    return DeploymentProfile(
        format_version=1,
        name=NAME.sub("-", name.lower()).strip("-.") or "tuned",
        purpose=purpose,
        runtime=Runtime(
            backend=candidate.plan.backend,
            format=artifact.format,
            precision=artifact.precision,
            device=setting.device,
            threads=candidate.threads,
            options=backend.settings(candidate.options),
        ),
        input=InputShape(batch=candidate.batch),
        split=setting.split,
        max_tiles=setting.tiles,
        budget=tuple(Limit(quantity=quantity, max=value) for quantity, value in asked if value is not None),
    )


def write_profile(path: Path, profile: DeploymentProfile) -> Path:
    """Write it as YAML that names only what is set, whole or not at all."""
    told = profile.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    content = {"schema": 1, **{name: told[name] for name in ("name", "purpose", "runtime")}, "input": {"batch": profile.input.batch}}
    content |= {name: told[name] for name in ("split", "max_tiles") if name in told}
    content["budget"] = [limit.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for limit in profile.budget]
    return write_atomic(path, yaml.safe_dump(content, sort_keys=False, width=150))
