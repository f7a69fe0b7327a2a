"""One hierarchy of user-facing errors, one exit code per branch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """What happened, with the value seen, and the next thing to type."""

    exit_code = 4

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} (try: {self.hint})" if self.hint else self.message


class ConfigError(HarnessError):
    """A flag, a YAML file or a combination that can't work."""

    exit_code = 2


#: What may be the matter with a file that says more than is known here.
NEWER = "a newer version may have written it: update eo-harness"


class UnknownNameError(ConfigError):
    """A name that no plug-in has; the message lists the near matches."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
        said = f"did you mean {' or '.join(repr(match) for match in near)}?" if near else f"known: {', '.join(known)}"
        super().__init__(f"unknown {kind} {name!r}; {said}", f"harness list {_plural(kind)}")
        self.near = near


def _plural(kind: str) -> str:
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


class UnavailableError(HarnessError):
    """A package, a device or a driver that is not here."""

    exit_code = 3


class DataError(HarnessError):
    """Data that is missing, corrupt or does not fit the model."""


class TrainingError(HarnessError):
    """Training could not start or went wrong."""


class CheckpointError(HarnessError):
    """A checkpoint that is missing, corrupt or does not fit its model."""


class ExportError(HarnessError):
    """An artifact could not be made."""


class ParityError(ExportError):
    """An artifact was made but does not compute what its checkpoint computes."""


class MeasurementError(HarnessError):
    """A measurement could not be taken."""


class RecordError(HarnessError):
    """A record is missing, corrupt or of an unknown schema."""


class BundleError(HarnessError):
    """A bundle that is cut short, changed, hostile or of an unknown schema."""
