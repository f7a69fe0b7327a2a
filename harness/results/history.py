"""One quantity over the commits at which it was measured: series of like records, and where each changed its level.

Records of one series share machine fingerprint, profile, data, model, all settings of the training, runtime and all settings of the run, so
that only the code, the weights and the file changed between them. Records of other fingerprints are counted and never mixed in.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from harness.core.errors import RecordError, UnknownNameError
from harness.core.quantity import QUANTITIES
from harness.core.record import ProfileRecord
from harness.results.columns import BY_KEY, MEASURED, Entries
from harness.results.figure import Entry, Figure, figure_from_outcome
from harness.results.history_series import SHORT, Series, series_from
from harness.results.pareto import Better
from harness.results.row import text_of_record, training_of
from harness.results.shown import dimension_of
from harness.results.units import Dimension, Unit, human, three_digits, unit_for

_NUMBERS = frozenset({"seed", "batch", "tile", "threads", "profile"})
_KEYS = ("model", "regime", "seed", "settings", "runtime", "format", "device", "precision", "variant", "batch", "tile", "threads", "data", "profile")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Records of the same subject on another fingerprint."""

    fingerprint: str
    machine: str
    records: int
    last: str


@dataclass(frozen=True, slots=True)
class History:
    """Every series of a subject on one fingerprint. `without` counts records in which the quantity is missing."""

    quantity: str
    dimension: Dimension | None
    unit: str
    better: Better | None
    fingerprint: str
    machine: str
    series: tuple[Series, ...]
    elsewhere: tuple[Elsewhere, ...]
    without: int

    def unit_of(self, series: Series) -> Unit:
        """The unit to show a series in."""
        return Unit(self.unit, 1.0) if self.dimension is None else unit_for(self.dimension, (point.figure.value for point in series.points))

    def shown(self, value: float, unit: Unit) -> str:
        """A value in that unit, without its name."""
        return three_digits(value / unit.factor) if self.dimension is None else human(value, self.dimension, unit)


def history(records: Sequence[ProfileRecord], quantity: str = "latency", fingerprint: str = "") -> History:
    """The history on the fingerprint that starts with `fingerprint`, by default that of the newest record.

    Raises UnknownNameError for a quantity that does not exist, RecordError where no record is of that fingerprint.
    """
    dimension, unit, better, entry_of = _kind(quantity)
    if not records:
        raise RecordError("there is no record of this subject", "harness records list")
    chosen = _fingerprint(records, fingerprint)
    here = [record for record in records if record.environment.fingerprint == chosen]
    found = [(record, entry) for record in here if isinstance(entry := entry_of(record), Figure)]
    members: dict[Hashable, list[tuple[ProfileRecord, Figure]]] = defaultdict(list)
    for record, entry in sorted(found, key=lambda item: (item[0].created, item[0].id)):
        members[_key(record)].append((record, entry))
    names = _names([series[0][0] for series in members.values()])
    series = tuple(series_from(name, pairs, quantity, better) for name, pairs in zip(names, members.values(), strict=True))
    machine = max(here, key=lambda record: record.created).environment.machine
    ordered = tuple(sorted(series, key=lambda one: (-len(one.points), one.name)))
    return History(quantity, dimension, unit, better, chosen, machine, ordered, _elsewhere(records, chosen), len(here) - len(found))


def _kind(quantity: str) -> tuple[Dimension | None, str, Better | None, Callable[[ProfileRecord], Entry]]:
    """Dimension, base unit, better direction and how to take the entry, of a quantity or a table's column of figures."""
    known = QUANTITIES.get(quantity)
    unit = known.unit if known else ""
    if quantity in MEASURED and quantity != "speedup":
        column = BY_KEY[quantity]
        return column.dimension, unit, column.better, lambda record: Entries(record)[quantity]
    if known:
        better = None if known.better == "neither" else known.better
        return dimension_of(quantity), unit, better, lambda record: figure_from_outcome(record.outcome(quantity))
    raise UnknownNameError("quantity", quantity, {*QUANTITIES, *MEASURED} - {"speedup"})


def _fingerprint(records: Sequence[ProfileRecord], wanted: str) -> str:
    fitting = [record for record in records if record.environment.fingerprint.startswith(wanted)]
    if not fitting:
        known = ", ".join(sorted({record.environment.fingerprint for record in records}))
        raise RecordError(f"no record of this subject has the fingerprint {wanted}; there are {known}", "omit --fingerprint for the newest")
    return max(fitting, key=lambda record: (record.created, record.id)).environment.fingerprint


def _elsewhere(records: Iterable[ProfileRecord], chosen: str) -> tuple[Elsewhere, ...]:
    others = [record for record in records if record.environment.fingerprint != chosen]
    count = Counter(record.environment.fingerprint for record in others)
    newest = {record.environment.fingerprint: record for record in sorted(others, key=lambda record: record.created)}
    made = (Elsewhere(key, newest[key].environment.machine, number, newest[key].created) for key, number in count.items())
    return tuple(sorted(made, key=lambda one: one.last, reverse=True))


def _key(record: ProfileRecord) -> Hashable:
    return (*_texts(record), training_of(record))


def _texts(record: ProfileRecord) -> tuple[str, ...]:
    return (*(text_of_record(record, key) for key in _KEYS), record.profile_sha256)


def _names(firsts: Sequence[ProfileRecord]) -> list[str]:
    """A name per series: model and runtime, and whatever else it takes to tell two apart."""
    keys = [_texts(record) for record in firsts]
    names = [f"{key[_KEYS.index('model')]}, {key[_KEYS.index('runtime')]}" for key in keys]
    for index, word in enumerate((*_KEYS, "profile")):
        longer = [
            f"{name}, {word + ' ' if word in _NUMBERS else ''}{key[index][:SHORT] if index == len(_KEYS) else key[index]}"
            for name, key in zip(names, keys, strict=True)
        ]
        if len(set(longer)) > len(set(names)):
            names = longer
    return names
