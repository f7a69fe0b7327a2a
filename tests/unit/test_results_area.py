"""What a square kilometer costs, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.artifact import DataUse
from harness.core.measurement import Measurement
from harness.core.record import ProfileRecord
from harness.results import render_markdown
from harness.results.area import AREA_KEYS, Prices
from harness.results.figure import Absent, Figure
from harness.results.store import Records
from harness.results.table import Table, View, table_from_records
from tests.builders import checkpoint, latency, record, single


def of_area(gsd: float | None = 10.0, **fields: Any) -> ProfileRecord:
    """128 x 128 px at 10 m: 1.6384 km2 in 0.05 s, 18 GFLOP and 2 J."""
    made = checkpoint(dataset=DataUse(name="ice", version="1", gsd_m=gsd, tile=128))
    measured = [latency(0.05), single("forward_flops", 18e9), single("energy", 2.0)]
    return record(made=made, measured=fields.pop("measured", measured), **fields)


def drawn(item: ProfileRecord, prices: Prices | None = None) -> Table:
    return table_from_records(Records((item,)), view=View(prices=prices or Prices()))


def figure(item: ProfileRecord, key: str, prices: Prices | None = None) -> Figure:
    entry = drawn(item, prices).groups[0].rows[0].entries[key]
    assert isinstance(entry, Figure)
    return entry


def absent(item: ProfileRecord, key: str, prices: Prices | None = None) -> str:
    entry = drawn(item, prices).groups[0].rows[0].entries[key]
    assert isinstance(entry, Absent)
    return entry.reason


BY_HAND = {
    "area_rate": 1.6384 / 0.05,
    "time_per_km2": 0.05 / 1.6384,
    "time_per_million_km2": 0.05 / 1.6384 * 1e6,
    "flops_per_km2": 18e9 / 1.6384,
    "energy_per_million_km2": 2 / 1.6384 * 1e6,
    "cost_per_km2": 0.05 / 1.6384 / 3600 * 2.5,
    "cost_per_million_km2": 0.05 / 1.6384 / 3600 * 2.5e6,
    "co2_per_million_km2": 2 / 1.6384 * 1e6 / 3.6e6 * 400,
}


def test_every_column_has_a_case_by_hand() -> None:
    assert set(BY_HAND) == set(AREA_KEYS)


@pytest.mark.parametrize("key", BY_HAND)
def test_by_hand(key: str) -> None:
    assert figure(of_area(), key, Prices(2.5, 400)).value == pytest.approx(BY_HAND[key])


def test_the_interval_follows_the_latency() -> None:
    item = of_area()
    measured = item.measured("latency")
    assert isinstance(measured, Measurement)
    interval = measured.interval()
    assert interval is not None
    time = figure(item, "time_per_km2")
    assert (time.low, time.high) == pytest.approx((interval.low / 1.6384, interval.high / 1.6384))


def test_a_batch_covers_its_tiles() -> None:
    assert figure(of_area(batch=4), "area_rate").value == pytest.approx(4 * 1.6384 / 0.05)
    assert figure(of_area(batch=4), "energy_per_million_km2").value == pytest.approx(2 / (4 * 1.6384) * 1e6)


def test_a_call_is_good_for_the_pixels_that_the_record_says() -> None:
    """Two windows of 128 px, each a third of a tile of 192 x 96 px: 2 x 6144 px at 10 m, 1.2288 km2."""
    rate = Measurement(quantity="throughput", samples=(12288 / 0.05,), detail={"pixels_per_call": 12288})
    item = of_area(batch=2, measured=[latency(0.05), rate, single("forward_flops", 18e9), single("energy", 2.0)])
    assert figure(item, "area_rate").value == pytest.approx(1.2288 / 0.05)
    assert figure(item, "flops_per_km2").value == pytest.approx(2 * 18e9 / 1.2288)
    assert figure(item, "energy_per_million_km2").value == pytest.approx(2 / 1.2288 * 1e6)


def test_what_is_not_known_has_a_reason() -> None:
    assert "ground sampling distance of ice" in absent(of_area(None), "time_per_km2")
    assert "random numbers" in absent(of_area(data=None), "area_rate")
    assert "--price-per-hour" in absent(of_area(), "cost_per_km2")
    assert "--grid-intensity" in absent(of_area(), "co2_per_million_km2")
    assert "energy was not measured" in absent(of_area(measured=[latency(0.05)]), "co2_per_million_km2", Prices(grid=400))
    assert "FLOP are counted at 128 px, the tile is 512 px" in absent(of_area(tile=512), "flops_per_km2")


def test_columns_that_the_user_gave_a_price_for_are_shown_even_without_a_figure() -> None:
    text = render_markdown.render(drawn(of_area(measured=[latency(0.05)]), Prices(1.0, 400.0)))
    assert "cost per million km2" in text
    assert "CO2 per million km2" in text
    assert "energy was not measured" in text
    assert "cost per million km2" not in render_markdown.render(drawn(of_area()))
