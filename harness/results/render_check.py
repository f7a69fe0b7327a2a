"""A check for people and for CI: lines, a markdown summary for a pull request, JUnit XML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from harness.core.quantity import quantity
from harness.results.check_result import Checked
from harness.results.regression import Change, Outcome
from harness.results.shown import shown

_MARKS = {Outcome.PASS: "✅", Outcome.FAIL: "❌", Outcome.INCONCLUSIVE: "❔"}
HEAD = ("quantity", "outcome", "baseline", "candidate", "worse by", "allowed", "could detect", "why")


def row_of(change: Change) -> tuple[str, ...]:
    """One change in the columns of HEAD."""
    return (
        change.quantity,
        str(change.outcome),
        shown(change.quantity, change.before, change.after),
        shown(change.quantity, change.after, change.before),
        _worse(change),
        str(change.tolerance),
        "-" if change.detectable is None else "exact" if change.detectable == 0 and change.low is not None else _share(change, change.detectable),
        change.why,
    )


def lines_of(checked: Checked) -> list[str]:
    """Text for a terminal, the verdict last."""
    rows = [HEAD, *map(row_of, checked.changes)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(HEAD) - 1)]
    lines = [f"{checked.subject}", f"  against {checked.baseline} ({checked.mode}, profile {checked.profile})"]
    lines += ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    lines += [f"note: {note}" for note in checked.notes]
    return [*lines, f"{checked.outcome} in {checked.seconds:.0f} s"]


def markdown(checks: Sequence[Checked]) -> str:
    """A summary for a pull request: one table per candidate, the verdict in its title."""
    return "\n".join(line for checked in checks for line in _markdown_of(checked)) + "\n"


def junit(checks: Sequence[Checked], *, strict: bool = False) -> str:
    """JUnit XML: a suite per candidate, a case per quantity. INCONCLUSIVE is skipped, or a failure where `strict`."""
    root = ET.Element("testsuites", name="harness check")
    for checked in checks:
        bad = {Outcome.FAIL, Outcome.INCONCLUSIVE} if strict else {Outcome.FAIL}
        failures = sum(change.outcome in bad for change in checked.changes)
        skipped = 0 if strict else sum(change.outcome is Outcome.INCONCLUSIVE for change in checked.changes)
        counts = {"tests": str(len(checked.changes)), "failures": str(failures), "skipped": str(skipped), "time": f"{checked.seconds:.3f}"}
        suite = ET.SubElement(root, "testsuite", {"name": _clean(checked.subject), **counts})
        for change in checked.changes:
            case = ET.SubElement(suite, "testcase", classname=_clean(checked.subject), name=change.quantity)
            said = _clean(" | ".join(f"{head}: {cell}" for head, cell in zip(HEAD[1:], row_of(change)[1:], strict=True)))
            if change.outcome in bad:
                ET.SubElement(case, "failure", message=said, type=str(change.outcome))
            elif change.outcome is Outcome.INCONCLUSIVE:
                ET.SubElement(case, "skipped", message=said)
            ET.SubElement(case, "system-out").text = said
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _markdown_of(checked: Checked) -> Iterable[str]:
    yield f"### {_MARKS[checked.outcome]} harness check: {checked.outcome}: {_cell(checked.subject)}"
    yield ""
    yield f"Against {_cell(checked.baseline)} ({checked.mode}), profile `{checked.profile}`, on {_cell(checked.machine)}, {checked.seconds:.0f} s."
    yield ""
    yield "| " + " | ".join(HEAD) + " |"
    yield "|" + "---|" * len(HEAD)
    for change in checked.changes:
        cells = row_of(change)
        yield "| " + " | ".join([cells[0], f"{_MARKS[change.outcome]} {cells[1]}", *map(_cell, cells[2:])]) + " |"
    yield ""
    yield from (f"- {_cell(note)}" for note in checked.notes)


def _worse(change: Change) -> str:
    if change.worse is None:
        return "-"
    text = _share(change, change.worse, sign="+")
    if change.low is None or change.high is None or change.low == change.high:
        return text
    return f"{text} [{_share(change, change.low, sign='+')}, {_share(change, change.high, sign='+')}]"


def _share(change: Change, value: float, sign: str = "") -> str:
    if change.tolerance.is_relative:
        return f"{100 * value + 0.0:{sign}.1f} %"
    if quantity(change.quantity).unit == "ratio" or not value:
        return f"{value + 0.0:{sign}.4g}"
    return f"{'-' if value < 0 else sign}{shown(change.quantity, abs(value))}"


def _cell(text: str) -> str:
    """Text that can't end a cell or start HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")


def _clean(text: str) -> str:
    """Text without the control characters that XML 1.0 does not allow."""
    return "".join(letter if letter >= " " else " " for letter in text)
