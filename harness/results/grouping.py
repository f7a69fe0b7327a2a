"""Which records may stand in one table: groups by machine, data set and profile, or as the user says.

Rows of several machines, or scored on several data sets, never share a group: their latencies, or their mIoU, do not compare.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.core.errors import ConfigError
from harness.core.record import ProfileRecord
from harness.results.columns import column
from harness.results.row import RECORD_KEYS, text_of_record

GROUP = ("machine", "data", "profile")
SEVERAL = "several profiles"
_WHY = {"machine": "latencies of different machines do not compare", "data": "mIoU over different data does not compare"}


@dataclass(frozen=True, slots=True)
class Place:
    """What the rows of a group share. `extra`: (column, text) of further columns that the user groups by."""

    machine: str
    cpu: str
    cores: int
    gpu: str | None
    data: str
    data_version: str
    profile: str
    profile_sha256: str
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def heading(self) -> str:
        profile = f"profile {self.profile} ({self.profile_sha256[:8]})" if self.profile_sha256 else self.profile
        extra = "".join(f", {key} {text}" for key, text in self.extra)
        return f"{self.machine}: {' '.join((self.data, self.data_version)).strip()}, {profile}{extra}"


def group_keys(text: str) -> tuple[str, ...]:
    """The columns of a comma-separated list. Raises ConfigError for one that does not exist or holds figures."""
    keys = tuple(dict.fromkeys(key.strip() for key in text.split(",") if key.strip()))
    for key in keys:
        if column(key).key not in RECORD_KEYS or key == "record":
            raise ConfigError(f"rows can't be grouped by {key!r}", f"harness table --group {','.join(GROUP)},runtime")
    return keys


def place_of(record: ProfileRecord, by: Sequence[str] = GROUP) -> Place:
    """The group that a record belongs to."""
    here, data = record.environment, record.data
    name, version = (data.name, data.version) if data else ("random inputs", "")
    profile, sha256 = (record.profile.name, record.profile_sha256) if "profile" in by else (SEVERAL, "")
    extra = tuple((key, text_of_record(record, key)) for key in by if key not in GROUP)
    return Place(here.machine, here.cpu, here.cores, here.gpu, name, version, profile, sha256, extra)


def grouped(records: Iterable[ProfileRecord], by: Sequence[str] = GROUP) -> list[tuple[Place, list[ProfileRecord]]]:
    """The records of each group, in the order of their headings. Raises ConfigError where a group would mix machines or data sets."""
    members: dict[Place, list[ProfileRecord]] = defaultdict(list)
    for record in records:
        members[place_of(record, by)].append(record)
    _refuse_mixtures(members, by)
    return sorted(members.items(), key=lambda item: (item[0].heading, item[0].cpu, item[0].cores, item[0].gpu or ""))


def _refuse_mixtures(members: Mapping[Place, object], by: Sequence[str]) -> None:
    for key in ("machine", "data"):
        seen = sorted({getattr(place, key) for place in members})
        if key not in by and len(seen) > 1:
            wanted = ",".join((key, *by))
            said = f"{', '.join(seen[:3])}{', ...' if len(seen) > 3 else ''}"
            raise ConfigError(f"{_WHY[key]}, and here are {said}", f"--group {wanted}, or --where {key}={seen[0]}")
