"""Records as a pandas data frame, one row per record and quantity, in base units; nothing is dropped.

Columns: record, created, machine, fingerprint, data (the set that was scored, None for random inputs), profile, model, regime, seed,
label_fraction, runtime, format, precision, device, batch, tile, threads, quantity, unit, value (median), low, high, p95, mean, samples
(their count), missing (why, else None), reason.
Files that could not be read are in `frame.attrs["problems"]`, a list of (path, reason).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import UnavailableError
from harness.core.measurement import Measurement, Missing
from harness.core.quantity import quantity
from harness.core.record import ProfileRecord
from harness.results.figure import Figure, figure_from_outcome, tail_from_outcome
from harness.results.store import Records, read_records

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("record", "created", "machine", "fingerprint", "data", "profile", "model", "regime", "seed", "label_fraction"),
    *("runtime", "format", "precision", "device", "batch", "tile", "threads"),
    *("quantity", "unit", "value", "low", "high", "p95", "mean", "samples", "missing", "reason"),
)


def frame(folder: Path) -> pd.DataFrame:
    """All records below `folder`. Raises RecordError without the folder, UnavailableError without pandas."""
    return frame_from_records(read_records(folder))


def frame_from_records(found: Records) -> pd.DataFrame:
    """The same of records that are read already."""
    if importlib.util.find_spec("pandas") is None:
        raise UnavailableError("pandas is not installed", 'pip install "eo-harness[plot]"')
    import pandas as pd

    rows = [{**_about(record), **_said(outcome)} for record in found.records for outcome in record.outcomes]
    made = pd.DataFrame(rows, columns=list(COLUMNS))
    made.attrs["problems"] = [(str(problem.path), problem.reason) for problem in found.problems]
    return made


def _about(record: ProfileRecord) -> dict[str, Any]:
    made, cell, here = record.checkpoint, record.cell, record.environment
    return {
        "record": record.id,
        "created": record.created,
        "machine": here.machine,
        "fingerprint": here.fingerprint,
        "data": record.data.name if record.data else None,
        "profile": record.profile.name,
        "model": cell.model,
        "regime": made.regime,
        "seed": made.seed,
        "label_fraction": made.label_fraction,
        "runtime": cell.backend,
        **{name: getattr(cell, name) for name in ("format", "precision", "variant", "device", "batch", "tile", "threads")},
    }


def _said(outcome: Measurement | Missing) -> dict[str, Any]:
    known = {"quantity": outcome.quantity, "unit": quantity(outcome.quantity).unit}
    if isinstance(outcome, Missing):
        return {**known, "samples": 0, "missing": outcome.why, "reason": outcome.reason}
    figure, tail = figure_from_outcome(outcome), tail_from_outcome(outcome, 0.95)
    low, high = (figure.low, figure.high) if isinstance(figure, Figure) else (None, None)
    p95 = tail.value if isinstance(tail, Figure) else None
    return {**known, "value": outcome.value, "low": low, "high": high, "p95": p95, "mean": outcome.mean, "samples": len(outcome.samples)}
