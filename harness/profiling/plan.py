"""Which cells to profile: every artifact of a subject on every backend that can run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.artifact import ARTIFACT_FILE, CHECKPOINT_FILE, Artifact, read_checkpoint, read_subject
from harness.core.deployment import DeploymentProfile
from harness.core.errors import CheckpointError, ConfigError, UnavailableError
from harness.core.registry import BACKENDS

#: The backend whose fp32 logits on the checkpoint are the reference for parity.
REFERENCE = "torch_eager"


@dataclass(frozen=True)
class CellPlan:
    """One artifact to run on one backend."""

    folder: Path
    artifact: Artifact
    backend: str

    @property
    def label(self) -> str:
        return f"{self.artifact.checkpoint.model} on {self.backend} ({self.artifact.format} {self.artifact.precision})"


def plan_cells(subject: Path, profile: DeploymentProfile, backends: Sequence[str] | None) -> tuple[list[CellPlan], list[str]]:
    """The cells to profile, the reference first, and why others are left out.

    A checkpoint stands for itself and for every artifact exported under it. Raises UnavailableError when a backend that was named
    can't run, ConfigError when nothing fits.
    """
    folders = [subject]
    if (subject / CHECKPOINT_FILE).is_file():
        folders += sorted(file.parent for file in (subject / "artifacts").glob(f"*/{ARTIFACT_FILE}"))
    artifacts = [(folder.resolve(), read_subject(folder)) for folder in folders]
    named = list(backends) if backends else ([profile.runtime.backend] if profile.runtime.backend else None)
    plans: list[CellPlan] = []
    left_out: list[str] = []
    for name in named or [name for name in BACKENDS.names() if BACKENDS.load(name).is_default]:
        backend = BACKENDS.load(name)
        formats = " or ".join(backend.formats)
        fitting = [(folder, artifact) for folder, artifact in artifacts if artifact.format in backend.formats and _is_wanted(artifact, profile)]
        reason = backend.unavailable(profile.runtime.device) if profile.runtime.device in backend.devices else f"no {profile.runtime.device} support"
        if reason and named:
            raise UnavailableError(f"backend {name}: {reason}", "harness doctor")
        if reason:
            left_out.append(f"{name}: {reason}")
        elif not fitting and named:
            raise ConfigError(f"backend {name} runs {formats}, and {subject} has none", f"harness export {subject} --to {backend.formats[0]}")
        elif not fitting:
            left_out.append(f"{name}: no {formats} under {subject}; harness export {subject} --to {backend.formats[0]}")
        else:
            plans += [CellPlan(folder, artifact, name) for folder, artifact in fitting]
    if not plans:
        raise ConfigError(f"nothing to profile in {subject}: {'; '.join(left_out)}", "harness doctor")
    return sorted(plans, key=lambda plan: plan.backend != REFERENCE), left_out


def _is_wanted(artifact: Artifact, profile: DeploymentProfile) -> bool:
    wanted = profile.runtime
    return wanted.format in (None, artifact.format) and wanted.precision in (None, artifact.precision)


def home_of(plan: CellPlan) -> Path | None:
    """The checkpoint folder above an artifact that was exported into it."""
    home = plan.folder.parent.parent
    try:
        return home if read_checkpoint(home).sha256 == plan.artifact.checkpoint_sha256 else None
    except CheckpointError:
        return None
