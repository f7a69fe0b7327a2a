"""Amounts, filters, groups and chosen columns."""

from __future__ import annotations

import csv
import io
import json

import pytest

from harness.core.errors import ConfigError
from harness.core.record import ProfileRecord
from harness.results import render_csv, render_json, render_markdown
from harness.results.amounts import amount, limit_from
from harness.results.columns import chosen_columns
from harness.results.filters import filter_from_text
from harness.results.grouping import SEVERAL, group_keys
from harness.results.store import Records
from harness.results.table import Table, View, table_from_records, text_of
from harness.results.units import Dimension
from tests.builders import checkpoint, environment, failed, latency, miou, outcomes, profile, record


def table(*records: ProfileRecord, **view: object) -> Table:
    return table_from_records(Records(records), view=View(**view))  # type: ignore[arg-type]


def where(*texts: str) -> View:
    return View(where=tuple(map(filter_from_text, texts)))


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("50ms", "time", 0.05),
        (" 1.5 GB ", "bytes", 1.5e9),
        ("1gb", "bytes", 1e9),
        ("2GiB", "bytes", 2 * 1024**3),
        ("60%", "score", 0.6),
        (".6", "score", 0.6),
        ("0", "time", 0.0),
        ("2MJ", "energy", 2e6),
        ("2mJ", "energy", 2e-3),
        ("3 KWH", "energy", 3 * 3.6e6),
        ("1MWh", "energy", 3.6e9),
        ("5m", "count", 5e6),
        ("80MS", "time", 0.08),
        ("-0.01", "change", -0.01),
        ("100%", "share", 1.0),
        ("1e-3s", "time", 0.001),
        ("20 GFLOP", "flop", 2e10),
        ("5Mpx/s", "rate", 5e6),
    ],
)
def test_an_amount_is_in_base_units(text: str, dimension: Dimension, value: float) -> None:
    assert amount(text, dimension) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "dimension", "said"),
    [
        ("50", "time", "'50' has no unit (try: 50ms, or another of s, ms, us, min, h, d)"),
        ("0.05", "time", "has no unit"),
        ("600", "bytes", "try: 600MB, or"),
        ("2", "energy", "try: 2J, or"),
        ("20", "flop", "try: 20GFLOP, or"),
        ("2mWh", "energy", "'mWh' is not one of the units"),
        ("60", "score", "'60' is not between 0 and 1 (try: 0.6 or 60%)"),
        ("101%", "share", "is not between 0 and 1"),
        ("-0.1", "score", "is not between 0 and 1"),
        ("2", "change", "is not between -1 and 1"),
    ],
)
def test_an_amount_that_is_likely_misread_is_an_error_with_an_example(text: str, dimension: Dimension, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        amount(text, dimension)
    assert said in str(caught.value)


@pytest.mark.parametrize(("flag", "text"), [("--max-latency", "-5ms"), ("--max-latency", "0"), ("--min-throughput", "-1px/s")])
def test_a_limit_is_above_zero(flag: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"{flag} is a limit above 0, got '{text}'"):
        limit_from(flag, text, "rate" if "throughput" in flag else "time")
    assert limit_from("--min-miou", "0", "score") == 0


@pytest.mark.parametrize(
    ("text", "dimension"), [("50kg", "time"), ("fast", "time"), ("", "bytes"), ("1e999", "time"), ("nan", "time"), ("60%", "bytes"), ("1 2", "time")]
)
def test_what_is_no_amount_is_an_error(text: str, dimension: Dimension) -> None:
    with pytest.raises(ConfigError, match=r"amount|units"):
        amount(text, dimension)


ROWS = (
    record("vit+upernet", measured=outcomes(p50=0.2, score=0.9)),
    record("vit+upernet", backend="onnxruntime", measured=outcomes(p50=0.04, score=0.9)),
    record("unet+unet", backend="onnxruntime", measured=outcomes(p50=0.03, score=0.5), batch=8),
    record("unet+linear", measured=[failed("latency", "killed"), miou(0.7)]),
)


@pytest.mark.parametrize(
    ("filters", "models"),
    [
        (["latency<50ms"], ["vit+upernet", "unet+unet"]),
        (["latency>=50ms"], ["vit+upernet"]),
        (["latency!=1s"], ["vit+upernet", "vit+upernet", "unet+unet"]),
        (["miou>=60%"], ["vit+upernet", "vit+upernet", "unet+linear"]),
        (["runtime=onnxruntime", "miou>0.6"], ["vit+upernet"]),
        (["runtime!=onnxruntime"], ["vit+upernet", "unet+linear"]),
        (["model=UNET*"], ["unet+linear", "unet+unet"]),
        (["model=unet+unet|unet+linear"], ["unet+linear", "unet+unet"]),
        (["batch>1"], ["unet+unet"]),
        (["batch=1|8", "batch<=8", "latency<0.035s"], ["unet+unet"]),
        (["data=bluemarble_ice", "machine==lab-1", "batch=8"], ["unet+unet"]),
        (["data=elsewhere"], []),
        (["machine!=lab-1"], []),
    ],
)
def test_filters(filters: list[str], models: list[str]) -> None:
    groups = table_from_records(Records(ROWS), view=where(*filters)).groups
    assert [row.record.cell.model for group in groups for row in group.rows] == models


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency", "is not COLUMN"),
        ("speed=1", "no column 'speed'"),
        ("latency<fast", "not an amount"),
        ("model<b", "which has no order"),
        ("front=yes", "after filtering"),
        ("__import__('os').system('true')<1", "is not COLUMN"),
        ("latency<", "is not COLUMN"),
    ],
)
def test_a_filter_that_can_not_be_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        filter_from_text(text)


def test_a_filter_by_machine_takes_a_name_with_brackets_word_for_word() -> None:
    rows = (record(machine="gpu[0]"), record(machine="gpu0"))
    assert [group.place.machine for group in table_from_records(Records(rows), view=where("machine=gpu[0]")).groups] == ["gpu0", "gpu[0]"]
    assert [group.place.machine for group in table_from_records(Records(rows), view=where("machine=gpu0")).groups] == ["gpu0"]


def test_ranks_and_front_are_of_the_rows_shown_and_the_speed_up_keeps_its_base() -> None:
    group = table_from_records(Records(ROWS), view=where("runtime=onnxruntime")).groups[0]
    assert [text_of(row, "rank") for row in group.rows] == ["1", "2"]
    speed_up = next(row for row in group.rows if row.record.cell.model == "vit+upernet").entries["speedup"]
    assert getattr(speed_up, "value", None) == pytest.approx(5.0)
    assert group.unfit == 2
    assert "2 rows do not fit the filters" in render_markdown.render(Table((group,)))


def test_only_the_first_rows() -> None:
    group = table(*ROWS, rows=2).groups[0]
    assert (len(group.rows), group.beyond) == (2, 2)
    assert "2 more rows are not shown: --rows 4 shows all" in render_markdown.render(Table((group,)))


def test_chosen_columns_in_their_order_everywhere() -> None:
    chosen = chosen_columns("latency, model,latency")
    assert chosen == ("latency", "model")
    drawn = table(*ROWS, columns=chosen)
    assert "| latency p50 (ms) | model |" in render_markdown.render(drawn)
    lines = list(csv.reader(io.StringIO(render_csv.render(drawn))))
    assert lines[0] == ["record", "machine", "profile", "latency", "latency_low", "latency_high", "model", "missing"]
    assert {line[0] for line in lines[1:]} == {row.id for row in ROWS}
    assert [line[-1] for line in lines[1:]].count("latency: failed: killed") == 1
    objects = json.loads(render_json.render(drawn))
    assert [set(item["figures"]) for item in objects] == [{"latency"}] * 4
    assert {item["record"] for item in objects} == {row.id for row in ROWS}


def test_a_column_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no column 'speed'"):
        chosen_columns("model,speed")


@pytest.mark.parametrize(("by", "other"), [(("data", "profile"), {"machine": "lab-2"}), (("machine",), {"made": checkpoint(data="mars")})])
def test_what_does_not_compare_is_never_in_one_group(by: tuple[str, ...], other: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"do(es)? not compare, and here are") as caught:
        table(record(), record(**other), by=by)  # type: ignore[arg-type]
    assert "--group" in caught.value.hint
    assert len(table(record(), by=by).groups) == 1


def test_groups_by_more_columns() -> None:
    groups = table(*ROWS, by=group_keys("machine,data,profile,runtime")).groups
    assert [group.place.extra for group in groups] == [(("runtime", "onnxruntime"),), (("runtime", "torch_eager"),)]
    assert groups[0].place.heading.endswith(", runtime onnxruntime")


def test_two_profiles_may_share_a_group_and_keep_a_row_each() -> None:
    groups = table(record(), record(profile=profile("ci")), by=("machine", "data")).groups
    assert [(group.place.profile, len(group.rows)) for group in groups] == [(SEVERAL, 2)]
    assert {item["profile"] for item in json.loads(render_json.render(Table(groups)))} == {"cpu-default", "ci"}
    assert "| cpu-default |" in render_markdown.render(Table(groups))


@pytest.mark.parametrize("text", ["latency", "record", "rank"])
def test_rows_are_not_grouped_by_figures(text: str) -> None:
    with pytest.raises(ConfigError, match="can't be grouped"):
        group_keys(f"machine,{text}")


def test_one_machine_name_on_two_processors_is_two_groups() -> None:
    rows = (record(), record(environment=environment(cpu="Other CPU"), measured=[latency(0.2)]))
    assert len(table(*rows).groups) == 2
