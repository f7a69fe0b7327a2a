"""Which cells to profile: every artifact of a subject on every backend that can run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.artifact import CHECKPOINT_FILE, Artifact, artifacts_in, read_checkpoint, read_subject
from harness.core.deployment import DeploymentProfile
from harness.core.errors import CheckpointError, ConfigError, UnavailableError, UnknownNameError
from harness.core.registry import BACKENDS, EXPORTERS, PROBES
from harness.profiling.job import Job
from harness.support.bundled import is_bundled, read_bundled
from harness.support.export_settings import variant_of

#: The backend whose fp32 logits on the checkpoint are the reference for parity.
REFERENCE = "torch_eager"
#: Below the folder of an opened bundle: its tiles.
BUNDLED_DATA = "data"


@dataclass(frozen=True)
class CellPlan:
    """One artifact to run on one backend."""

    folder: Path
    artifact: Artifact
    backend: str

    @property
    def variant(self) -> str:
        """Settings of the export that differ from their defaults."""
        return variant_of(self.artifact)

    @property
    def label(self) -> str:
        made = ", ".join(filter(None, (f"{self.artifact.format} {self.artifact.precision}", self.variant)))
        return f"{self.artifact.checkpoint.model} on {self.backend} ({made})"


def plan_cells(subject: Path, profile: DeploymentProfile, backends: Sequence[str] | None, foreign: Artifact | None = None) -> tuple[list[CellPlan], list[str]]:
    """The cells to profile, the reference first, and why others are left out.

    A checkpoint stands for itself and for every artifact exported under it, an opened bundle for its artifacts; `foreign` describes a
    model's file that was not made here. Raises UnavailableError when a backend that was named can't run, ConfigError when nothing fits
    or a runtime option is wrong.
    """
    for probe in profile.probes:
        if probe not in PROBES.names():
            raise UnknownNameError("probe", probe, PROBES.names())
    artifacts = [(subject.resolve().parent, foreign)] if foreign else _artifacts(subject)
    named = list(backends) if backends else ([profile.runtime.backend] if profile.runtime.backend else None)
    plans: list[CellPlan] = []
    left_out: list[str] = []
    unused: list[str] = []
    unmade: dict[str, str] = {}
    device = profile.runtime.device
    for name in named or [name for name in BACKENDS.names() if BACKENDS.load(name).is_default]:
        backend = BACKENDS.load(name)
        # One that was not asked for takes what was exported for it, not all that it can read.
        formats = backend.formats if named or foreign else backend.formats[:1]
        fitting = [(folder, artifact) for folder, artifact in artifacts if artifact.format in formats and _is_wanted(artifact, profile)]
        reason = backend.unavailable(device) if device in backend.devices else f"no {device} support"
        if reason and named:
            raise UnavailableError(f"backend {name}: {reason}", "harness doctor")
        if reason:
            (left_out if fitting else unused).append(f"{name}: {reason}")
        elif not fitting and named:
            wanted = " ".join(filter(None, (" or ".join(formats), profile.runtime.precision)))
            raise ConfigError(
                f"backend {name} runs {wanted} for profile {profile.name}, and {_named(subject)} has none", _how_to_export(subject, formats, profile)
            )
        elif not fitting and not foreign and _how_to_export(subject, formats, profile):
            unmade[name] = _how_to_export(subject, formats, profile)
        elif fitting:
            backend.settings(profile.runtime.options)
            cells = [CellPlan(folder, artifact, name) for folder, artifact in fitting]
            lacking = [None if foreign else backend.lacks(cell.artifact.precision, device) for cell in cells]
            plans += [cell for cell, lack in zip(cells, lacking, strict=True) if not lack]
            left_out += [f"{cell.label}: unsupported: {lack}" for cell, lack in zip(cells, lacking, strict=True) if lack]
    if unmade:
        left_out.append(f"{', '.join(unmade)}: nothing was exported for them; {next(iter(unmade.values()))}")
    if not plans:
        raise ConfigError(f"nothing to profile in {_named(subject)}: {'; '.join([*left_out, *unused])}", "harness doctor")
    return sorted(plans, key=lambda plan: plan.backend != REFERENCE), left_out


def _named(subject: Path) -> str:
    """The subject as it was given: an opened bundle by its file."""
    return read_bundled(subject / BUNDLED_DATA).file if is_bundled(subject / BUNDLED_DATA) else str(subject)


def _how_to_export(subject: Path, formats: Sequence[str], profile: DeploymentProfile) -> str:
    """The command that makes an artifact of the profile's format, else of the first of `formats`, in its precision.

    "" where no exporter does, or no checkpoint is at hand.
    """
    home = subject if (subject / CHECKPOINT_FILE).is_file() else subject.resolve().parent.parent
    wanted = profile.runtime.precision
    form = next((form for form in formats if form == profile.runtime.format), formats[0])
    makers = [name for name in makers_of(form) if wanted is None or wanted in EXPORTERS.load(name).precisions]
    if not makers or not (home / CHECKPOINT_FILE).is_file():
        return ""
    return f"harness export {home} --to {makers[0]}" + (f" --precision {wanted}" if wanted else "")


def makers_of(form: str) -> list[str]:
    """The exporters that make a format."""
    return [name for name in EXPORTERS.names() if EXPORTERS.load(name).format == form]


def _artifacts(subject: Path) -> list[tuple[Path, Artifact]]:
    folders = [] if is_bundled(subject / BUNDLED_DATA) else [subject]
    if (subject / CHECKPOINT_FILE).is_file() or not folders:
        folders += artifacts_in(subject / "artifacts")
    return [(folder.resolve(), read_subject(folder)) for folder in folders]


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


def job_of(plan: CellPlan, profile: DeploymentProfile, threads: int, dataset: str | None, folder: Path | None, work: Path, *, no_reference: str = "") -> Job:
    """What the cell's process is told: tiles of `dataset` lie in `folder`, and `work` is its own folder."""
    return Job(
        folder=plan.folder,
        artifact=plan.artifact if plan.artifact.checkpoint.is_foreign else None,
        sha256=plan.artifact.identity,
        backend=plan.backend,
        device=profile.runtime.device,
        threads=threads,
        profile=profile,
        dataset=dataset,
        data_root=folder,
        work=work,
        no_reference=no_reference,
    )
