"""The data set that a cell is scored on: one that is installed here, or the tiles that came in a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.errors import ConfigError
from harness.core.record import Advice
from harness.core.registry import DATASETS
from harness.core.specs import DatasetSpec
from harness.profiling.job import Job
from harness.support.bundled import bundled_spec, facts_of, is_bundled


def dataset_of(job: Job) -> DatasetSpec:
    """Raises ConfigError for a job without a data set."""
    if job.dataset is None:
        raise ConfigError("no data set to read tiles of", "harness profile CHECKPOINT --data NAME")
    if job.data_root is not None and is_bundled(job.data_root):
        return bundled_spec(job.data_root)
    spec: DatasetSpec = DATASETS.load(job.dataset)
    return spec


def bundle_facts(job: Job) -> dict[str, Any]:
    """For the record's detail: `bundle` with its file, sha256 and tiles; nothing for a data set that is installed."""
    return {"bundle": facts_of(job.data_root)} if job.data_root is not None and is_bundled(job.data_root) else {}


def sha256_of_bundle(detail: Mapping[str, Any]) -> str | None:
    """The sha256 of the bundle that a record's detail names; None where the tiles did not come in one."""
    facts = detail.get("bundle")
    return str(facts.get("sha256")) if isinstance(facts, dict) else None


def bundle_advice(job: Job) -> tuple[Advice, ...]:
    """Says so where the tiles are not the whole split."""
    if job.data_root is None or not is_bundled(job.data_root):
        return ()
    facts = facts_of(job.data_root)
    if facts["tiles"] == facts["tiles_in_split"]:
        return ()
    message = f"scored on the {facts['tiles']} of {facts['tiles_in_split']} tiles of {facts['split']} that {facts['file']} holds"
    return (Advice(kind="part of the split", message=message, advice="compare with scores over the same tiles, or bundle all: leave --tiles out"),)
