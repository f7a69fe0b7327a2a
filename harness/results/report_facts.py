"""What a deployment-readiness report says of one record, as plain rows of text; every format renders the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from harness.core.measurement import Measurement, Missing
from harness.core.quantity import quantity
from harness.core.record import ProfileRecord
from harness.core.verdict import Verdict
from harness.results.readiness import Judged
from harness.results.shown import shown

MEMORY = (
    ("import_memory", "runtime imported"),
    ("load_memory", "artifact loading"),
    ("peak_host_memory", "running, host"),
    ("weight_memory", "of it weights and what loading made"),
    ("activation_memory", "of it batch, activations and workspaces"),
    ("library_memory", "beside it, libraries (shared, can be dropped)"),
    ("peak_device_memory", "running, device"),
)
SPEED = ("latency", "end_to_end_latency", "tile_latency", "throughput", "area_throughput", "load_time", "first_call", "energy")
PARITY = ("argmax_agreement", "miou_drop", "max_abs_error", "p99_abs_error", "mean_abs_error")
ACCURACY = ("miou", "miou_per_image", "pixel_accuracy", "macro_f1", "boundary_iou", "calibration_error")
COMPUTE = ("forward_flops", "encoder_flops", "graph_flops", "parameters", "artifact_size", "achieved_flops", "peak_share")
_HOW = {
    "skipped": "ask for it: name its probe in the profile, or give what it needs (the reason says what), then profile again",
    "unsupported": "it can't be had in this place; another machine, runtime or data set may give it",
    "failed": "see the reason, then profile again",
}


class Limit(NamedTuple):
    """A budget limit in words."""

    quantity: str
    wanted: str
    seen: str
    interval: str
    status: str
    why: str


def limits_of(judged: Judged) -> list[Limit]:
    return [_limit(verdict) for verdict in judged.verdicts]


def _limit(verdict: Verdict) -> Limit:
    limit, name = verdict.limit, verdict.limit.quantity
    bound = limit.max if limit.max is not None else limit.min
    sign = "at most" if limit.max is not None else "at least"
    between = f"{shown(name, verdict.interval.low, bound)} to {shown(name, verdict.interval.high, bound)}" if verdict.interval else "-"
    wanted = f"{sign} {shown(name, bound, verdict.seen)}"
    return Limit(f"{name}, {limit.statistic}", wanted, shown(name, verdict.seen, bound), between, str(verdict.status), verdict.why)


def figures(record: ProfileRecord, names: Iterable[str]) -> list[tuple[str, str, str, str]]:
    """(quantity, value, interval, what it is) of those that were measured."""
    rows = []
    for name in names:
        outcome = record.measured(name)
        if outcome is not None:
            interval = outcome.interval()
            between = f"{shown(name, interval.low, outcome.value)} to {shown(name, interval.high, outcome.value)}" if interval else "-"
            rows.append((name, shown(name, outcome.value), between, quantity(name).definition))
    return rows


def percentiles(record: ProfileRecord) -> list[tuple[str, str, str]]:
    """(percentile, value, interval) of latency; a tail without enough samples says how many it needs."""
    outcome = record.measured("latency")
    if outcome is None:
        return []
    rows = []
    for share, name in ((0.5, "p50"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99")):
        interval = outcome.interval(share)
        if interval is None:
            rows.append((name, "-", f"needs {outcome.needed(share)} samples, has {len(outcome.samples)}"))
        else:
            rows.append((name, shown("latency", outcome.percentile(share)), f"{shown('latency', interval.low)} to {shown('latency', interval.high)}"))
    return rows


def shares(record: ProfileRecord, key: str) -> list[tuple[str, float | None]]:
    """IoU by class or mIoU by region ("per_class", "per_region") from the record, empty where it does not say."""
    outcome = record.measured("miou")
    found = outcome.detail.get(key) if outcome else None
    if not isinstance(found, Mapping):
        return []
    return [(str(name), None if value is None else float(value)) for name, value in found.items() if value is None or isinstance(value, int | float)]


def memory(record: ProfileRecord) -> list[tuple[str, float]]:
    return [(title, outcome.value) for name, title in MEMORY if (outcome := record.measured(name)) is not None]


def worst_tiles(record: ProfileRecord) -> list[dict[str, Any]]:
    """Tiles on which the artifact agrees least with its checkpoint: tile, agreement, and a picture's file name where there is one."""
    outcome = record.measured("argmax_agreement")
    found = outcome.detail.get("worst_tiles", []) if outcome else []
    return [dict(one) for one in found if isinstance(one, Mapping) and one.get("agreement") != 1.0]


def missing(record: ProfileRecord) -> list[tuple[str, str, str, str]]:
    """(quantity, why, reason, how to measure it)."""
    return [(one.quantity, one.why, one.reason, _HOW[one.why]) for one in record.outcomes if isinstance(one, Missing)]


def export_facts(record: ProfileRecord) -> list[tuple[str, str]]:
    cell, detail = record.cell, record.detail
    rows = [("format", cell.format), ("precision", cell.precision), ("exporter", str(detail.get("exporter") or "none: the checkpoint itself"))]
    judged = dict(detail.get("export_parity") or {})
    rows += [(f"judged at export: {name}", f"{value:.6g}" if isinstance(value, float) else str(value)) for name, value in judged.items()]
    return rows + [(f"runtime: {name}", str(value)) for name, value in dict(detail.get("facts") or {}).items()]


def provenance(record: ProfileRecord) -> list[tuple[str, str]]:
    """Data, weights, code, versions and machine."""
    made, here, cell = record.checkpoint, record.environment, record.cell
    used = record.data
    rows = [
        ("record", f"{record.id}, {record.created}"),
        ("model", f"{made.model}, {made.regime}, seed {made.seed}, label fraction {made.label_fraction:g}"),
        ("trained on", f"{made.dataset.name} {made.dataset.version}"),
        ("scored on", f"{used.name} {used.version}, split {record.profile.split}" if used else "nothing: random inputs"),
        ("bands", ", ".join(band.name for band in made.bands)),
        ("input", f"batch {cell.batch}, {cell.tile} px, {cell.threads} threads, {cell.device}"),
        ("weights", f"sha256 {made.weights_sha256}"),
        ("artifact", f"sha256 {cell.artifact_sha256}"),
        ("profile", f"{record.profile.name}, sha256 {record.profile_sha256}"),
        ("code", ", ".join(f"{name} {value}" for name, value in made.code.items()) or f"eo-harness {record.harness_version}"),
        ("machine", f"{here.machine}: {here.cpu}, {here.cores} cores, {here.memory / 1e9:.1f} GB"),
        ("GPU", f"{here.gpu}, driver {here.driver}, CUDA {here.cuda}" if here.gpu else "none"),
        ("system", f"{here.os}, Python {here.python}"),
        ("packages", ", ".join(f"{name} {version}" for name, version in sorted(here.packages.items())) or "not recorded"),
        ("fingerprint", here.fingerprint),
    ]
    load = ", ".join(f"{name} {value:g}" for name, value in here.load.items())
    return rows + ([("load while measured", load)] if load else [])


def warnings(judged: Judged) -> list[str]:
    return [f"{one.kind}: {one.message}" + (f"; {one.advice}" if one.advice else "") for one in judged.flags]


def samples(record: ProfileRecord) -> tuple[float, ...]:
    outcome = record.outcome("latency")
    return outcome.samples if isinstance(outcome, Measurement) else ()
