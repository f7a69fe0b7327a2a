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
    from harness.profiling.sweep import Rate


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
    from harness.profiling.sweep import rate_of

    cells: dict[str, dict[int, Rate | None]] = {}
    for record in records:
        label = f"{record.cell.model} on {record.cell.backend} ({record.cell.format} {record.cell.exported_as})"
        cells.setdefault(label, {})[record.cell.batch] = rate_of(record)
    return {label: _said(rates) for label, rates in cells.items()}


def _said(rates: Mapping[int, Rate | None]) -> str:
    from harness.profiling import sweep

    seen = ", ".join(f"{batch}: {_mega(rate)}" for batch, rate in rates.items())
    found = sweep.knee_between(rates)
    if found is None:
        return f"no batch ran ({seen})"
    first, last = found
    if first != last:
        return f"the knee lies between batches {first} and {last}: a longer run tells them apart ({seen})"
    return f"batch {first} is the knee: no larger one gains {sweep.WORTH:.0%} ({seen})"


def _mega(rate: Rate | None) -> str:
    if rate is None:
        return "failed"
    between = "" if rate.low == rate.high else f" [{rate.low / 1e6:.3g}, {rate.high / 1e6:.3g}]"
    return f"{rate.value / 1e6:.3g}{between} Mpx/s"
