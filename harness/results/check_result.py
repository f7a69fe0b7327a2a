"""What a check found: every change, what was compared, and what is said about it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from harness.core.record import ProfileRecord
from harness.results.regression import Change, Outcome, joint


@dataclass(frozen=True)
class Checked:
    """One candidate against one baseline. `record` None: nothing was measured, since the two can't be compared."""

    subject: str
    baseline: str
    mode: str
    profile: str
    machine: str
    fingerprint: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    record: ProfileRecord | None = field(default=None, repr=False)

    @property
    def outcome(self) -> Outcome:
        return joint(self.changes)


def object_of(checked: Checked) -> dict[str, Any]:
    """A check as plain JSON values, in base units."""
    found = {name: getattr(checked, name) for name in ("subject", "baseline", "mode", "profile", "machine", "fingerprint", "notes", "seconds")}
    changes = [{**dataclasses.asdict(change), "tolerance": change.tolerance._asdict()} for change in checked.changes]
    return {"outcome": checked.outcome, **found, "record": checked.record.id if checked.record else None, "changes": changes}
