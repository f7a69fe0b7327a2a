"""Rows, groups, speed-ups, baselines: what the table says of records made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.core.errors import ConfigError
from harness.core.measurement import percentile_interval
from harness.core.record import Advice, ProfileRecord
from harness.results import columns
from harness.results.baselines import Baseline
from harness.results.figure import Absent, Entry, Figure, figure_from_outcome, ratio_of_medians, tail_from_outcome
from harness.results.layout import grid_from_group
from harness.results.store import Records
from harness.results.table import Group, Row, View, table_from_records, text_of
from tests.builders import BANDS, checkpoint, environment, failed, latency, miou, outcomes, profile, record, single, spread


def group_of(*records: ProfileRecord, sort: str = "miou") -> Group:
    groups = table_from_records(Records(records), sort=sort).groups
    assert len(groups) == 1
    return groups[0]


def figure(entry: Entry) -> Figure:
    assert isinstance(entry, Figure)
    return entry


def absent(entry: Entry) -> Absent:
    assert isinstance(entry, Absent)
    return entry


def row_of(group: Group, runtime: str) -> Row:
    return next(row for row in group.rows if row.record.cell.backend == runtime)


def test_every_figure_of_a_row_by_hand() -> None:
    entries = group_of(record(measured=outcomes(p50=0.05, score=0.9, gflop=18.0))).rows[0].entries
    assert figure(entries["miou"]) == Figure(0.9, 0.87, 0.93, 0.95, "bootstrap over regions")
    assert figure(entries["macs"]) == Figure(9e9, 9e9, 9e9, 1.0, "exact")
    assert figure(entries["latency"]).value == pytest.approx(0.05)
    assert figure(entries["latency_p95"]).value == pytest.approx(np.percentile(spread(0.05), 95))
    # 128 x 128 pixels over the median; the interval's ends change places.
    throughput, p50 = figure(entries["throughput"]), figure(entries["latency"])
    assert throughput.value == pytest.approx(16384 / 0.05)
    assert throughput.low == pytest.approx(16384 / (p50.high or 0))
    assert figure(entries["speedup"]).value == 1.0


def test_figures_that_nobody_asks_for_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> Figure:
        raise AssertionError

    for name in ("tail_from_outcome", "ratio_of_medians", "area_entries"):
        monkeypatch.setattr(columns, name, refused)
    found = table_from_records(Records((record(), record(backend="onnxruntime"))), view=View(columns=("model", "miou", "latency", "throughput")))
    assert len(grid_from_group(found.groups[0]).cells) == 2
    with pytest.raises(AssertionError):
        found.groups[0].rows[0].entries["latency_p95"]


def test_a_row_has_an_entry_in_every_column_of_figures_and_in_no_other() -> None:
    entries = group_of(record()).rows[0].entries
    assert set(entries) == set(columns.MEASURED) == {item.key for item in columns.COLUMNS if item.better is not None}
    assert len(entries) == len(dict(entries)) == len(columns.MEASURED)
    assert "model" not in entries


def test_a_tail_without_an_interval_says_what_it_needs() -> None:
    short = tail_from_outcome(latency(0.05, count=71), 0.95)
    assert absent(short) == Absent("samples", "needs 72 samples, has 71", "needs 72 samples")
    assert isinstance(tail_from_outcome(latency(0.05, count=72), 0.95), Figure)


def test_one_sample_of_memory_has_no_interval_but_counts_are_exact() -> None:
    assert figure_from_outcome(single("peak_host_memory", 5e8)) == Figure(5e8, repeats=0.05)
    assert figure(figure_from_outcome(single("parameters", 31e6))).is_exact


def test_speed_up_is_a_ratio_with_a_conservative_interval() -> None:
    slow, fast = latency(0.08, width=0.2), latency(0.05, width=0.4)
    ratio = ratio_of_medians(slow, fast)
    top, bottom = percentile_interval(slow.samples, 0.5, 0.975), percentile_interval(fast.samples, 0.5, 0.975)
    assert top is not None
    assert bottom is not None
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1.6, top.low / bottom.high, top.high / bottom.low))


def test_the_interval_of_the_speed_up_covers_the_true_ratio() -> None:
    chosen = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        above, below = (single("latency", 1).model_copy(update={"samples": tuple(scale * chosen.lognormal(0, 0.3, 40))}) for scale in (2.0, 1.0))
        ratio = ratio_of_medians(above, below)
        covered += (ratio.low or 0) <= 2.0 <= (ratio.high or 0)
    assert covered >= 190


def test_speed_up_is_against_torch_eager_of_the_same_checkpoint() -> None:
    group = group_of(record(measured=outcomes(p50=0.08)), record(backend="onnxruntime", measured=outcomes(p50=0.05)))
    assert figure(row_of(group, "onnxruntime").entries["speedup"]).value == pytest.approx(1.6)


@pytest.mark.parametrize("other", ["checkpoint", "threads", "tile", "batch", "precision"])
def test_no_speed_up_against_anything_else(other: str) -> None:
    changes: dict[str, dict[str, Any]] = {"checkpoint": {"made": checkpoint(weights_sha256="0" * 64)}, "precision": {"precision": "fp16"}}
    group = group_of(record(**changes.get(other, {other: 4})), record(backend="onnxruntime"))
    assert "no torch_eager fp32 record" in absent(row_of(group, "onnxruntime").entries["speedup"]).reason


def test_no_speed_up_across_machines() -> None:
    table = table_from_records(Records((record(machine="lab-1"), record(machine="lab-2", backend="onnxruntime"))))
    assert isinstance(table.groups[1].rows[0].entries["speedup"], Absent)


def test_a_failed_torch_eager_gives_the_reason() -> None:
    group = group_of(record(measured=[failed("latency", "out of memory"), miou(0.9)]), record(backend="onnxruntime"))
    assert "out of memory" in absent(row_of(group, "onnxruntime").entries["speedup"]).reason
    assert absent(row_of(group, "torch_eager").entries["throughput"]) == Absent("failed", "out of memory")


def test_the_speed_up_across_versions_is_flagged() -> None:
    group = group_of(record(), record(backend="onnxruntime", environment=environment(fingerprint="f1")))
    assert text_of(row_of(group, "onnxruntime"), "flags") == "mixed versions"


def test_the_latest_record_of_a_cell_is_the_row() -> None:
    old = record(created="2026-11-20T10:00:00+00:00", measured=outcomes(score=0.7))
    group = group_of(record(), old)
    assert len(group.rows) == 1
    assert group.older == 1
    assert figure(group.rows[0].entries["miou"]).value == 0.9


@pytest.mark.parametrize(
    ("before", "fields", "flags"),
    [
        (0.0125, {}, "moved between runs"),
        (0.0101, {}, ""),  # the intervals overlap
        (0.0125, {"environment": environment(fingerprint="f1")}, ""),  # other versions
        (0.0125, {"made": checkpoint(weights_sha256="0" * 64)}, ""),  # other weights
    ],
)
def test_runs_further_apart_than_their_intervals_are_flagged(before: float, fields: dict[str, Any], flags: str) -> None:
    old = record(created="2026-11-20T10:00:00+00:00", measured=[latency(before), miou(0.9)], **fields)
    (row,) = group_of(record(measured=[latency(0.01), miou(0.9)]), old).rows
    assert text_of(row, "flags") == flags
    assert not flags or "between 10 and 12.5 ms" in row.flags[0].message


def test_training_again_replaces_the_row_and_other_settings_make_one() -> None:
    again = record(made=checkpoint(weights_sha256="0" * 64), created="2026-11-22T10:00:00+00:00")
    group = group_of(record(), again, record(made=checkpoint(seed=1)), record(made=checkpoint(regime="frozen")), record(made=checkpoint(label_fraction=0.1)))
    assert len(group.rows) == 4
    assert again in [row.record for row in group.rows]
    assert sorted(text_of(row, "regime") for row in group.rows) == ["finetune", "finetune", "finetune 10%", "frozen"]


def test_machines_data_and_profiles_are_groups() -> None:
    records = (
        record(),
        record(machine="lab-2"),
        record(made=checkpoint(data="mars_craters")),
        record(profile=profile("ci")),
        record(environment=environment(cpu="Example CPU 8"), created="2026-11-22T10:00:00+00:00"),
        record(profile=profile(max_tiles=3), created="2026-11-23T10:00:00+00:00"),
    )
    groups = table_from_records(Records(records)).groups
    assert [len(group.rows) for group in groups] == [1] * 6
    assert len({group.place for group in groups}) == 6
    assert groups == table_from_records(Records(records[::-1])).groups


def test_sorting_puts_the_best_first_and_the_missing_last() -> None:
    rows = [
        record("a+b", measured=[latency(0.2), miou(0.5)]),
        record("c+d", measured=[failed("latency", "x"), miou(0.9)]),
        record("e+f", measured=[latency(0.1)]),
    ]
    assert [row.record.cell.model for row in group_of(*rows).rows] == ["c+d", "a+b", "e+f"]
    by_latency = group_of(*rows, sort="latency").rows
    assert [row.record.cell.model for row in by_latency] == ["e+f", "a+b", "c+d"]
    assert [text_of(row, "rank") for row in by_latency] == ["1", "2", "-"]
    assert [row.record.cell.model for row in group_of(*rows, sort="model").rows] == ["a+b", "c+d", "e+f"]


def test_a_difference_within_noise_is_not_a_rank() -> None:
    rows = [record("a+b", measured=[miou(0.90)]), record("c+d", measured=[miou(0.89)]), record("e+f", measured=[miou(0.5)])]
    assert [text_of(row, "rank") for row in group_of(*rows).rows] == ["1=", "1=", "3"]


def test_the_front_needs_both_quantities() -> None:
    rows = [
        record("good+x", measured=[latency(0.2), miou(0.9)]),
        record("fast+x", measured=[latency(0.1), miou(0.8)]),
        record("bad+x", measured=[latency(0.3), miou(0.7)]),
        record("half+x", measured=[miou(0.99)]),
    ]
    assert {row.record.cell.model: text_of(row, "front") for row in group_of(*rows).rows} == {"good+x": "yes", "fast+x": "yes", "bad+x": "no", "half+x": "-"}


def test_memory_that_repeats_within_five_percent_is_told_apart_beyond() -> None:
    sizes = {"a+x": 1.0e9, "b+x": 1.04e9, "c+x": 1.06e9}
    rows = [record(model, measured=[miou(0.9), single("peak_host_memory", size)]) for model, size in sizes.items()]
    (group,) = table_from_records(Records(tuple(rows)), axes=("miou", "peak_host_memory")).groups
    assert {row.record.cell.model: text_of(row, "front") for row in group.rows} == {"a+x": "yes", "b+x": "yes", "c+x": "no"}


def test_baselines_come_from_the_accuracy_and_flag_what_they_beat() -> None:
    base = {"majority": 0.441, "threshold": 0.834}
    group = group_of(record("a+b", measured=[miou(0.9, baselines=base)]), record("c+d", measured=[miou(0.8, baselines=base)]), record("e+f", measured=[]))
    assert group.baselines == (Baseline("threshold", 0.834), Baseline("majority", 0.441))
    assert [text_of(row, "flags") for row in group.rows] == ["", "under baseline", ""]


def test_warnings_are_flags() -> None:
    row = group_of(record(warnings=[Advice(kind="noisy", message="spread 14 %"), Advice(kind="noisy", message="steal 3 %")])).rows[0]
    assert text_of(row, "flags") == "noisy"
    assert len(row.flags) == 2


@pytest.mark.parametrize(("arguments", "message"), [({"sort": "speed"}, "no column 'speed'"), ({"axes": ("model",)}, "holds text")])
def test_a_column_that_can_not_be_is_an_error(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        table_from_records(Records(), **arguments)


def test_no_records_no_groups() -> None:
    assert table_from_records(Records()).groups == ()


def trained(created: int, **facts: Any) -> ProfileRecord:
    return record(made=checkpoint(**facts), created=f"2026-11-21T10:00:{created:02d}")


def header_and_texts(*records: ProfileRecord) -> tuple[tuple[str, ...], set[tuple[str, ...]]]:
    """Keys of the columns, and per row what it says of its training."""
    grid = grid_from_group(table_from_records(Records(records)).groups[0])
    keys = tuple(column.key for column in grid.columns)
    texts = [index for index, key in enumerate(keys) if key in ("model", "regime", "seed", "settings", "runtime")]
    return keys, {tuple(row[index].text for index in texts) for row in grid.cells}


def test_rows_of_other_seeds_and_settings_do_not_look_alike() -> None:
    rows = [trained(0), trained(1, seed=1), trained(2, encoder_options={"width": 128}), trained(3, bands=BANDS[:2]), trained(4, recipe={"lr": 0.1})]
    keys, texts = header_and_texts(*rows)
    assert {"seed", "settings"} <= set(keys)
    assert len(texts) == len(rows)
    assert any("width=128 #" in text[3] for text in texts)


def test_seed_and_settings_show_only_where_they_tell_rows_apart() -> None:
    seeds = header_and_texts(trained(0), trained(1, seed=1))[0]
    assert "seed" in seeds
    assert "settings" not in seeds
    regimes = header_and_texts(trained(0), trained(1, regime="scratch", seed=1, recipe={"name": "long"}))[0]
    assert {"seed", "settings"}.isdisjoint(regimes)


def test_exports_of_one_precision_with_other_settings_are_rows_of_their_own() -> None:
    given = {"backend": "onnxruntime", "precision": "int8-static"}
    rows = [record(**given), record(**given, variant="activations uint8", created="2026-11-21T10:00:01")]
    grid = grid_from_group(table_from_records(Records(tuple(rows))).groups[0])
    place = [column.key for column in grid.columns].index("variant")
    assert {row[place].text for row in grid.cells} == {"-", "activations uint8"}
    assert len({one.cell.subject for one in rows}) == 2
    assert "variant" not in header_and_texts(rows[1])[0]


def test_training_again_with_equal_settings_replaces_the_row_and_another_input_does_not() -> None:
    again = [trained(0), trained(1, weights_sha256="0" * 64)]
    assert len(table_from_records(Records(tuple(again))).groups[0].rows) == 1
    other = trained(2, input_size=256)
    assert len(table_from_records(Records((*again, other))).groups[0].rows) == 2


def test_options_that_are_no_numbers_are_settings_too() -> None:
    assert len(table_from_records(Records((trained(0), trained(1, recipe={"lr": float("nan")})))).groups[0].rows) == 2
