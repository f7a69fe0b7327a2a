"""A table as JSON for programs: a list of objects, one per row, base units, stable keys.

Keys: machine, cpu, cores, gpu, data, data_version, profile, profile_sha256, record (its id), created, fingerprint, model, regime, seed,
label_fraction, checkpoint_sha256, artifact_sha256, runtime, format, precision, device, batch, tile, threads, rank (1 is best, null
without an interval), rank_shared, on_front (null where not known), baselines {name: mIoU}, flags [{kind, message, advice}], figures.
`figures` has one key per quantity, only the chosen ones where the user chose columns: {"value", "low", "high", "confidence", "method"}
(low and high null where the uncertainty is unknown, equal to the value where it is counted), or {"missing": unsupported | skipped |
failed | samples, "reason"}.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from harness.results.columns import MEASURED
from harness.results.figure import Absent, Entry
from harness.results.row import Row
from harness.results.table import Group, Table


def render(table: Table) -> str:
    """The list as indented JSON text. Written by pydantic's encoder: json's takes four times as long as soon as it indents."""
    return to_json([_object(group, row) for group in table.groups for row in group.rows], indent=1).decode() + "\n"


def _object(group: Group, row: Row) -> dict[str, Any]:
    return {**_where(group, row), **_what(row), **_judged(group, row), "figures": {key: _figure(row.entries[key]) for key in _keys(group)}}


def _keys(group: Group) -> tuple[str, ...]:
    """The figures to write: those that the user chose, else all."""
    return tuple(key for key in group.columns if key in MEASURED) if group.columns else MEASURED


def _where(group: Group, row: Row) -> dict[str, Any]:
    place, record = group.place, row.record
    return {
        "machine": place.machine,
        "cpu": place.cpu,
        "cores": place.cores,
        "gpu": place.gpu,
        "data": place.data,
        "data_version": place.data_version,
        "profile": record.profile.name,
        "profile_sha256": record.profile_sha256,
        "record": record.id,
        "created": record.created,
        "fingerprint": record.environment.fingerprint,
    }


def _what(row: Row) -> dict[str, Any]:
    made, cell = row.record.checkpoint, row.record.cell
    return {
        "model": cell.model,
        "regime": made.regime,
        "seed": made.seed,
        "label_fraction": made.label_fraction,
        "checkpoint_sha256": cell.checkpoint_sha256,
        "artifact_sha256": cell.artifact_sha256,
        "runtime": cell.backend,
        "format": cell.format,
        "precision": cell.precision,
        "variant": cell.variant,
        "device": cell.device,
        "batch": cell.batch,
        "tile": cell.tile,
        "threads": cell.threads,
    }


def _judged(group: Group, row: Row) -> dict[str, Any]:
    return {
        "rank": None if row.rank is None else row.rank.place,
        "rank_shared": None if row.rank is None else row.rank.shared,
        "on_front": row.on_front,
        "baselines": {baseline.name: baseline.miou for baseline in group.baselines},
        "flags": [flag.model_dump() for flag in row.flags],
    }


def _figure(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Absent):
        return {"missing": entry.why, "reason": entry.reason}
    return {"value": entry.value, "low": entry.low, "high": entry.high, "confidence": entry.confidence, "method": entry.method}
