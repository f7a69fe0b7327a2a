"""What a budget says of fresh records, as lines for the end of `harness profile`: the answer of each, and a line per limit."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.record import ProfileRecord
from harness.core.verdict import judge
from harness.results.layout import one_line, printable
from harness.results.readiness import Judged
from harness.results.report_facts import Limit, limits_of


def verdict_lines(records: Iterable[ProfileRecord]) -> list[str]:
    """READY, NOT READY or UNKNOWN per record by its own profile's budget; nothing for profiles without one."""
    judged = [Judged(record, judge(record)) for record in records if record.profile.budget]
    lines = [line for one in judged for line in _lines(one)]
    return [*lines, *(["  UNKNOWN is no FAIL: the reason says what to measure, or how much longer"] if _has_unknown(judged) else [])]


def _lines(judged: Judged) -> list[str]:
    cell, limits = judged.record.cell, limits_of(judged)
    widths = [max(len(limit[index]) for limit in limits) for index in range(2)]
    head = f"{judged.answer} for {judged.record.profile.name}: {cell.model} on {cell.backend} {cell.exported_as}, {cell.device}, batch {cell.batch}"
    return [printable(head), *(printable(_limit(limit, widths)) for limit in limits)]


def _limit(limit: Limit, widths: list[int]) -> str:
    seen = limit.seen if limit.interval == "-" else f"{limit.seen} ({limit.interval})"
    return f"  {limit.status:<7}  {limit.quantity:<{widths[0]}}  {limit.wanted:<{widths[1]}}  {seen}  {one_line(limit.why)}"


def _has_unknown(judged: Iterable[Judged]) -> bool:
    return any(verdict.status == "UNKNOWN" for one in judged for verdict in one.verdicts)
