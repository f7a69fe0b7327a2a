"""Flags of `harness profile` that change the profile, bundles as subjects, and what a batch sweep found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import ConfigError

if TYPE_CHECKING:
    from harness.core.deployment import DeploymentProfile
    from harness.core.record import ProfileRecord


def changed(profile: DeploymentProfile, *, batches: str | None, probes: str | None) -> DeploymentProfile:
    """The profile with the flags' values. Raises ConfigError or UnknownNameError naming the flag's value."""
    from harness.core.registry import PROBES

    if probes:
        for name in probes.split(","):
            PROBES.load(name)
        profile = profile.model_copy(update={"probes": tuple(probes.split(","))})
    if not batches:
        return profile
    words = batches.split(",")
    sizes = [int(word) for word in words if word.isascii() and word.isdigit()]
    if len(sizes) != len(words) or sizes != sorted(set(sizes)) or min(sizes) < 1:
        raise ConfigError(f"batches are whole numbers that grow, got {batches!r}", "--batches 1,2,4,8")
    return profile.model_copy(update={"input": profile.input.model_copy(update={"batches": tuple(sizes), "batch": sizes[0]})})


@contextlib.contextmanager
def opened_bundle(subject: Path, data: str | None, root: Path | None) -> Iterator[Path | None]:
    """The folder of a bundle's files for as long as the block lasts; None for a subject that is no bundle. Raises ConfigError or BundleError."""
    if subject.suffix.lower() != ".zip" or subject.is_dir():
        yield None
        return
    from harness.bundling.opened import opened

    if data or root:
        raise ConfigError(f"{subject} brings its own tiles, so --data and --root say nothing", f"harness profile {subject}")
    with opened(subject) as folder:
        yield folder


def knees(records: Sequence[ProfileRecord]) -> Mapping[str, str]:
    """Per runtime and precision the batch that is worth taking, as a sentence."""
    from harness.profiling.sweep import WORTH, knee, rate_of

    cells: dict[str, dict[int, float | None]] = {}
    for record in records:
        label = f"{record.cell.model} on {record.cell.backend} ({record.cell.format} {record.cell.precision})"
        cells.setdefault(label, {})[record.cell.batch] = rate_of(record)
    return {label: _said(rates, knee(rates), WORTH) for label, rates in cells.items()}


def _said(rates: Mapping[int, float | None], best: int | None, worth: float) -> str:
    seen = ", ".join(f"{batch}: {rate / 1e6:.3g} Mpx/s" if rate else f"{batch}: failed" for batch, rate in rates.items())
    return f"no batch ran ({seen})" if best is None else f"batch {best} is the knee: no larger one gains {worth:.0%} ({seen})"
