"""What a square kilometer costs: time, FLOP, energy, money and CO2, from a record's throughput and its data's ground sampling distance.

Area of a pixel = gsd^2. Tiles lie side by side; a call is good for the pixels that its record says, without padding, and with those that
windows share counted once. One synchronous caller, reading and writing of files not included; money is the time times the price of an hour of
the machine; CO2 is the measured energy times the grid's intensity, never a guess from a power rating.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.core.record import ProfileRecord
from harness.results.figure import Absent, Entry, inverse, scaled

MILLION = 1e6
M2_PER_KM2 = 1e6
SECONDS_PER_HOUR = 3600.0
JOULE_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Prices:
    """What a user gives: money for an hour of the machine, and grams of CO2 equivalent for a kWh of its grid. None: not given."""

    per_hour: float | None = None
    grid: float | None = None

    @property
    def asked(self) -> tuple[str, ...]:
        """The columns that the prices are for."""
        return ("cost_per_million_km2",) * (self.per_hour is not None) + ("co2_per_million_km2",) * (self.grid is not None)


NO_PRICES = Prices()


def area_entries(record: ProfileRecord, entries: Mapping[str, Entry], prices: Prices) -> dict[str, Entry]:
    """The columns per area; `entries` holds throughput, forward_flops and energy."""
    pixel = _pixel_km2(record)
    if isinstance(pixel, Absent):
        return dict.fromkeys(AREA_KEYS, pixel)
    rate = scaled(entries["throughput"], pixel)
    time, joule = inverse(rate, 1.0), scaled(entries["energy"], MILLION / (_pixels(record) * pixel))
    return {
        "area_rate": rate,
        "time_per_km2": time,
        "time_per_million_km2": scaled(time, MILLION),
        "flops_per_km2": _flops(record, entries["forward_flops"], pixel),
        "energy_per_million_km2": joule,
        "cost_per_km2": _cost(time, prices),
        "cost_per_million_km2": _cost(scaled(time, MILLION), prices),
        "co2_per_million_km2": _co2(joule, prices),
    }


AREA_KEYS = (
    *("area_rate", "time_per_km2", "time_per_million_km2", "flops_per_km2"),
    *("energy_per_million_km2", "cost_per_km2", "cost_per_million_km2", "co2_per_million_km2"),
)


def _pixel_km2(record: ProfileRecord) -> float | Absent:
    if record.data is None:
        return Absent("skipped", "the inputs were random numbers: no ground sampling distance")
    if record.data.gsd_m is None:
        return Absent("unsupported", f"the record does not say the ground sampling distance of {record.data.name}")
    return record.data.gsd_m**2 / M2_PER_KM2


def _pixels(record: ProfileRecord) -> float:
    """Pixels of tiles that a call is good for."""
    measured = record.measured("throughput")
    return float((measured.detail if measured else {}).get("pixels_per_call") or record.cell.batch * record.cell.tile**2)


def _flops(record: ProfileRecord, flops: Entry, pixel: float) -> Entry:
    """FLOP are counted at the checkpoint's input size, so other tiles have no figure."""
    if record.cell.tile != record.checkpoint.input_size:
        return Absent("unsupported", f"FLOP are counted at {record.checkpoint.input_size} px, the tile is {record.cell.tile} px")
    return scaled(flops, record.cell.batch / (_pixels(record) * pixel))


def _cost(time: Entry, prices: Prices) -> Entry:
    if prices.per_hour is None:
        return Absent("skipped", "no price given: --price-per-hour")
    return scaled(time, prices.per_hour / SECONDS_PER_HOUR)


def _co2(joule: Entry, prices: Prices) -> Entry:
    if prices.grid is None:
        return Absent("skipped", "no grid intensity given: --grid-intensity")
    if isinstance(joule, Absent):
        return Absent(joule.why, f"energy was not measured: {joule.reason}")
    return scaled(joule, prices.grid / JOULE_PER_KWH)
