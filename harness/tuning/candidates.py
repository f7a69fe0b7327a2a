"""What there is to choose from: artifacts that exist or can be made, on the runtimes of this machine, and how each can be run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.artifact import CHECKPOINT_FILE, Artifact, artifacts_in, read_artifact, read_subject
from harness.core.errors import ConfigError, HarnessError, UnavailableError
from harness.core.files import canonical_json
from harness.core.ports import Backend, Exporter
from harness.core.registry import BACKENDS, EXPORTERS
from harness.profiling.environment import processor_flags
from harness.profiling.plan import CellPlan, makers_of
from harness.stages import artifact_folder

#: What is tried beside a runtime's defaults on a device, one at a time. What this machine lacks fails and is a row.
VARIANTS: Mapping[tuple[str, str], tuple[Mapping[str, Any], ...]] = {
    ("onnxruntime", "cpu"): ({"graph_optimization": "extended"}, {"graph_optimization": "basic"}, {"arena": False}),
    ("onnxruntime", "cuda"): ({"cuda_graph": True}, {"provider": "tensorrt"}),
    ("openvino", "cpu"): ({"hyper_threading": False}, {"cpu_pinning": False}),
    ("tensorrt", "cuda"): ({"cuda_graph": True},),
    ("torch_compile", "cuda"): ({"mode": "reduce-overhead"},),
}
#: Exports beside an exporter's defaults, by format and precision: what is added to the folder's name, and the options.
EXPORT_VARIANTS: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]] = {("onnx", "int8-static"): {"uint8": {"activations": "uint8"}}}
#: What a folder's name ends with where a drop of mIoU was given.
MIXED = re.compile(r"-mixed(-[0-9.e-]+)?$")
#: Precisions to be made, the most promising first, so that a short budget reaches them; the others follow.
PROMISING: Mapping[str, tuple[str, ...]] = {"cpu": ("fp32", "int8-static", "int8-dynamic", "fp16"), "cuda": ("fp16", "bf16", "fp32", "int8-static")}


@dataclass(frozen=True)
class Candidate:
    """An artifact on a runtime with a number of threads, a batch, and the runtime options that differ from the defaults."""

    plan: CellPlan
    threads: int
    batch: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its identity, which moves with the artifact's bytes."""
        artifact = self.plan.artifact
        return f"{self.plan.backend} {artifact.format} {artifact.precision} {artifact.identity[:12]} {self.threads} {self.batch} {canonical_json(self.options)}"

    @property
    def label(self) -> str:
        return f"{cell_label(self.plan)}, {self.how}"

    @property
    def how(self) -> str:
        """Threads, batch and options in words."""
        changed = "".join(f", {name} {value}" for name, value in self.options.items())
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}, batch {self.batch}{changed}"


@dataclass(frozen=True)
class Wanted:
    """A runtime with an artifact for it; `exporter` "": it lies in `folder`, else it is made there by that exporter."""

    backend: str
    format: str
    precision: str
    folder: Path
    exporter: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        made = self.folder.name.removeprefix(f"{self.format}-{self.precision}").strip("-") if self.format != "checkpoint" else ""
        return f"{self.backend} {self.format} {self.precision}" + (f" {made}" if made and made != self.folder.name else "")


def cell_label(plan: CellPlan) -> str:
    """Runtime, format and precision, and what else tells the artifact's folder from others."""
    return Wanted(plan.backend, plan.artifact.format, plan.artifact.precision, plan.folder).label


def runtimes_here(named: Sequence[str] | None, device: str) -> tuple[list[str], list[str]]:
    """The runtimes to search, and why others are left out. Raises UnavailableError when one that was named can't run."""
    usable, left_out = [], []
    for name in named or [name for name in BACKENDS.names() if BACKENDS.load(name).is_default]:
        backend: Backend = BACKENDS.load(name)
        reason = backend.unavailable(device) if device in backend.devices else f"no {device} support"
        if reason and named:
            raise UnavailableError(f"backend {name}: {reason}", "harness doctor")
        if reason:
            left_out.append(f"{name}: {reason}")
        else:
            usable.append(name)
    return usable, left_out


def wanted_of(subject: Path, runtimes: Sequence[str], device: str) -> tuple[list[Wanted], list[str]]:
    """All cells of a checkpoint, or those of one artifact, what exists and promises most first; and why precisions are left out.

    Raises ConfigError when none is left, or when the folder holds neither.
    """
    subject = subject.resolve()
    own = read_subject(subject)
    if own.checkpoint.is_foreign:
        raise ConfigError(f"{subject} was not trained here, and tune compares with the network that was", "harness profile shows its runtimes one by one")
    is_checkpoint = (subject / CHECKPOINT_FILE).is_file()
    known = _existing(subject, own) if is_checkpoint else [(subject, own)]
    wanted, left_out = [], []  # type: list[Wanted], list[str]
    flags = processor_flags()
    for name in runtimes:
        backend: Backend = BACKENDS.load(name)
        formats = backend.formats[:1] if is_checkpoint else backend.formats
        cells = [Wanted(name, one.format, one.precision, folder, options=_made_with(one)) for folder, one in known if one.format in formats]
        cells += _to_make(name, formats[0], subject, known) if is_checkpoint else []
        for cell in cells:
            lack = backend.lacks(cell.precision, device) or emulated(cell.precision, device, flags)
            if lack:
                left_out.append(f"{cell.label}: unsupported: {lack}")
            else:
                wanted.append(cell)
    if not wanted:
        raise ConfigError(f"nothing to tune: no runtime of {', '.join(runtimes)} runs {subject}; {'; '.join(left_out)}", "harness doctor")
    return sorted(wanted, key=lambda cell: _place(cell, device)), left_out


def emulated(precision: str, device: str, flags: Sequence[str]) -> str:
    """Why a precision that runs is no candidate: a processor without instructions for it is slower than in fp32. "" where it has them, or may have."""
    if (precision, device) == ("bf16", "cpu") and flags and not any("bf16" in flag for flag in flags):
        return "this processor has no bf16 instructions, so it is slower than fp32"
    return ""


def _place(cell: Wanted, device: str) -> tuple[bool, int]:
    """What is there before what is to be made, and that by promise."""
    promising = PROMISING[device]
    return bool(cell.exporter), promising.index(cell.precision) if cell.exporter and cell.precision in promising else len(promising)


def _made_with(artifact: Artifact) -> dict[str, Any]:
    """The options that an artifact was exported with, to make a milder one of the same kind."""
    return {
        name: value for name, value in artifact.options.items() if any(_takes(maker, artifact.precision, {name: value}) for maker in makers_of(artifact.format))
    }


def _existing(checkpoint: Path, own: Artifact) -> list[tuple[Path, Artifact]]:
    """The checkpoint and the sound artifacts of these very weights under it; others are made anew where they are wanted."""
    found = [(checkpoint, own)]
    for folder in artifacts_in(checkpoint / "artifacts"):
        try:
            artifact = read_artifact(folder)
        except HarnessError:
            continue
        if artifact.checkpoint_sha256 == own.checkpoint_sha256:
            found.append((folder, artifact))
    return found


def _to_make(backend: str, form: str, checkpoint: Path, known: Sequence[tuple[Path, Artifact]]) -> Iterator[Wanted]:
    """What exporters can add to the artifacts of a format that are there."""
    there = {(artifact.format, artifact.precision) for _, artifact in known}
    folders = {folder for folder, _ in known}
    for name in EXPORTERS.names():
        exporter = EXPORTERS.load(name)
        if exporter.format != form or exporter.unavailable():
            continue
        for precision in exporter.precisions:
            folder = artifact_folder(checkpoint, name, precision)
            if (form, precision) not in there:
                yield Wanted(backend, form, precision, folder, name)
            for suffix, options in EXPORT_VARIANTS.get((form, precision), {}).items():
                other = folder.with_name(f"{folder.name}-{suffix}")
                if other not in folders and not any(_has(artifact, form, precision, options) for _, artifact in known):
                    yield Wanted(backend, form, precision, other, name, options)


def milder(cell: Wanted, limit: float) -> list[Wanted]:
    """The same precision with as many layers left in a higher one as a drop of mIoU of `limit` asks for, where its exporter can do so.

    Each limit has a folder of its own: one that was made for another may be a candidate, and is not replaced while it is measured.
    """
    if cell.options.get("max_miou_drop") == limit or cell.format == "checkpoint":
        return []
    options = {**cell.options, "max_miou_drop": limit}
    folder = cell.folder.with_name(f"{MIXED.sub('', cell.folder.name)}-mixed-{limit:g}")
    makers = [cell.exporter] if cell.exporter else makers_of(cell.format)
    return [dataclasses.replace(cell, folder=folder, exporter=name, options=options) for name in makers if _takes(name, cell.precision, options)]


def _takes(exporter: str, precision: str, options: Mapping[str, Any]) -> bool:
    plugin: Exporter = EXPORTERS.load(exporter)
    try:
        plugin.settings(precision, options)
    except ConfigError:
        return False
    return not plugin.unavailable()


def _has(artifact: Artifact, form: str, precision: str, options: Mapping[str, Any]) -> bool:
    return (artifact.format, artifact.precision) == (form, precision) and options.items() <= artifact.options.items()


def ways_of(plan: CellPlan, threads: Sequence[int], batches: Sequence[int]) -> list[Candidate]:
    """The candidates of a cell with the runtime's default options, most threads first."""
    return [Candidate(plan, count, batch) for count in sorted(threads, reverse=True) for batch in batches]


def variants_of(candidate: Candidate, device: str) -> list[Candidate]:
    """The same candidate with other runtime options, one changed at a time."""
    tried = VARIANTS.get((candidate.plan.backend, device), ())
    return [Candidate(candidate.plan, candidate.threads, candidate.batch, options) for options in tried] if not candidate.options else []
