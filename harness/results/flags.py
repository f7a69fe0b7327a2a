"""What makes a row doubtful beside the warnings of its own record: what other records and predictors without training say of it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.record import Advice, ProfileRecord
from harness.results.baselines import Baseline
from harness.results.drift import drift_of


def flags_of(runs: Sequence[ProfileRecord], baselines: Sequence[Baseline]) -> tuple[Advice, ...]:
    """The newest run's own warnings and what is seen beside it. `runs`: those of one row, oldest first; `baselines`: best first."""
    record = runs[-1]
    seen = (_under_baseline(record, baselines), drift_of(runs))
    return (*record.warnings, *(advice for advice in seen if advice is not None))


def _under_baseline(record: ProfileRecord, baselines: Sequence[Baseline]) -> Advice | None:
    miou = record.measured("miou")
    if miou is None or not baselines or miou.value > baselines[0].miou:
        return None
    best = baselines[0]
    return Advice(kind="under baseline", message=f"mIoU is not above {best.name} ({best.miou:.3f})", advice="its speed means nothing")
