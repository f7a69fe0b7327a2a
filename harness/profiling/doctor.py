"""What runs here, why the rest doesn't, and what makes this machine a bad place to measure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from harness.core.errors import UnavailableError
from harness.core.ports import Backend
from harness.core.record import Advice, Environment
from harness.core.registry import BACKENDS, EXPORTERS
from harness.core.specs import Value
from harness.profiling import disturbance
from harness.profiling.disturbance import load_between, reading
from harness.profiling.environment import available_cores, environment
from harness.support import host_memory


class Part(Value):
    """A backend on a device, an exporter, or an execution provider of a backend in place of a device; `reason` None: it runs here."""

    kind: str
    name: str
    device: str = ""
    reason: str | None = None


#: In the order of the matrix.
PRECISIONS = ("fp32", "fp16", "bf16", "int8-dynamic", "int8-static")


class Ability(Value):
    """A runtime on a device in a precision; `reason` None: it runs here."""

    backend: str
    device: str
    precision: str
    reason: str | None = None


class Findings(Value):
    environment: Environment
    parts: tuple[Part, ...]
    matrix: tuple[Ability, ...]
    advice: tuple[Advice, ...]


def examine(progress: Callable[[int, int, str], None]) -> Findings:
    """Try every backend and exporter, and look at the machine."""
    before = reading()
    names = [(BACKENDS, name) for name in BACKENDS.names()] + [(EXPORTERS, name) for name in EXPORTERS.names()]
    parts: list[Part] = []
    matrix: list[Ability] = []
    for done, (kind, name) in enumerate(names):
        progress(done, len(names), f"{kind.word} {name}")
        try:
            plugin = kind.load(name)
        except UnavailableError as error:
            parts.append(Part(kind=kind.word, name=name, reason=str(error)))
            continue
        if kind is EXPORTERS:
            parts.append(Part(kind=kind.word, name=name, reason=plugin.unavailable()))
        else:
            parts += [Part(kind=kind.word, name=name, device=device, reason=plugin.unavailable(device)) for device in plugin.devices]
            parts += [Part(kind="provider", name=name, device=provider, reason=reason) for provider, reason in _providers(plugin).items()]
            matrix += _abilities(name, plugin)
    here = environment(available_cores(), load_between(before, reading()))
    return Findings(environment=here, parts=tuple(parts), matrix=tuple(matrix), advice=advice_on(here))


def _providers(backend: Backend) -> dict[str, str | None]:
    """What a backend that runs on execution providers says of each, other than those that are its devices' own."""
    found: dict[str, str | None] = getattr(backend, "providers", dict)()
    return {name: reason for name, reason in found.items() if name not in backend.devices}


def _abilities(name: str, backend: Backend) -> list[Ability]:
    return [
        Ability(backend=name, device=device, precision=precision, reason=backend.lacks(precision, device))
        for device in backend.devices
        for precision in PRECISIONS
    ]


def advice_on(here: Environment) -> tuple[Advice, ...]:
    """What disturbs measurements on this machine now."""
    advice = [*disturbance.advice_on(here.load, here.cores)]
    governor = _governor()
    if governor not in (None, "performance"):
        advice.append(Advice(kind="governor", message=f"the clock governor is {governor}", advice="sudo cpupower frequency-set -g performance"))
    reason = host_memory.resettable()
    if reason:
        advice.append(Advice(kind="memory", message=reason, advice="peak memory by phase is Missing here"))
    return tuple(advice)


def _governor() -> str | None:
    with contextlib.suppress(OSError):
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    return None
