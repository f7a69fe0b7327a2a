"""Time by stage and the roofline as pictures: every bar and point where it belongs, no text over another."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from harness.core.layers import Layer, LayerView, write_view
from harness.core.measurement import Measurement
from harness.results.plot_layers import MOST_BARS, REST, bars_of, layers_picture, views_of
from harness.results.plot_roofline import Roof, roofline_picture, roofs_of
from harness.results.store import Records, write_record
from harness.results.table import Group, table_from_records
from tests.builders import latency, record, single

pytest.importorskip("matplotlib")


def group_of(*records: Any) -> Group:
    return table_from_records(Records(records)).groups[0]


def view(*layers: Layer) -> LayerView:
    return LayerView(record="", backend="onnxruntime", source="test", runs=3, batch=1, layers=layers)


SMALL = view(
    Layer(path="image", kind="Cast", seconds=0.001, flops=0),
    Layer(path="encoder.network.layer1.conv", kind="Conv", seconds=0.004, flops=8_000_000),
    Layer(path="decoder.head", kind="Conv", seconds=0.002, flops=2_000_000),
    Layer(path="encoder.network.layer1.act", kind="Relu", seconds=0.002, flops=0),
    Layer(path="decoder.neck.levels.0", kind="Conv", seconds=0.001, flops=None),
)


def test_stages_add_up_and_stand_part_by_part() -> None:
    assert [(part, share.name, share.seconds, share.flops) for part, share in bars_of(SMALL)] == [
        ("encoder", "encoder.network.layer1", 0.006, 8_000_000),
        ("neck", "decoder.neck.levels", 0.001, None),
        ("decoder", "decoder.head", 0.002, 2_000_000),
        ("other", "other", 0.001, 0),
    ]


def test_a_network_without_parts_is_shown_by_kind_and_the_least_are_one() -> None:
    many = view(*(Layer(path=f"n{number}", kind=f"K{number}", seconds=1.0 + number, flops=1) for number in range(MOST_BARS + 3)))
    bars = bars_of(many)
    assert len(bars) == MOST_BARS
    assert bars[-1][1].name == REST
    assert (bars[-1][1].seconds, bars[-1][1].flops, bars[-1][1].layers) == (1.0 + 2.0 + 3.0 + 4.0, 4, 4)
    assert sum(share.seconds for _, share in bars) == pytest.approx(many.seconds)


def test_a_panel_per_row_with_a_view_beside_its_record(tmp_path: Path) -> None:
    records = [record("a+x"), record("b+x", backend="onnxruntime"), record("c+x")]
    for one in records:
        path = write_record(tmp_path, one)
        if one.cell.model != "c+x":
            write_view(path, SMALL)
    group = group_of(*records)
    picture = layers_picture(group, views_of(group, tmp_path))
    drawn = [axes for axes in picture.axes if axes.axison]
    assert sorted(axes.get_title(loc="left") for axes in drawn) == ["a+x, torch_eager, batch 1: 10.0 ms", "b+x, onnxruntime, batch 1: 10.0 ms"]
    assert [bar.get_width() for bar in drawn[0].patches] == pytest.approx([6, 1, 2, 1])
    assert [text.get_text() for text in drawn[0].texts] == ["60%, 1.33 GFLOP/s", "10%", "20%, 1.00 GFLOP/s", "10%"]
    assert no_texts_meet(picture)


def test_no_view_is_said() -> None:
    picture = layers_picture(group_of(record()), {})
    assert any("harness profile SUBJECT --layers" in text.get_text() for text in picture.texts)


def no_texts_meet(picture: Any) -> bool:
    picture.draw_without_rendering()
    boxes = [text.get_window_extent() for axes in picture.axes if axes.axison for text in [*axes.texts, *axes.get_yticklabels()] if text.get_text()]
    return not any(first.overlaps(second) for first, second in combinations(boxes, 2))


def reached(rate: float, intensity: float, peak: float = 9e10, bandwidth: float = 3e10) -> list[Measurement]:
    detail = {"peak_flops": peak, "peak_bandwidth": bandwidth}
    return [latency(0.05), Measurement(quantity="achieved_flops", samples=(rate,), detail=detail), single("arithmetic_intensity", intensity)]


def test_points_lie_under_the_best_peaks_of_their_threads() -> None:
    rows = [record("a+x", measured=reached(2e10, 40)), record("b+x", measured=reached(1e10, 1, peak=8e10, bandwidth=4e10))]
    group = group_of(*rows, record("c+x", threads=1, measured=reached(5e9, 10, peak=4e10)), record("d+x"))
    assert [(roof.name, roof.flops, roof.bandwidth) for roof in roofs_of(group)] == [
        ("in fp32 with 1 thread", 4e10, 3e10),
        ("in fp32 with 2 threads", 9e10, 4e10),
    ]
    assert roofs_of(group)[1].at(1) == 4e10
    assert roofs_of(group)[1].at(100) == 9e10
    (axes,) = roofline_picture(group).axes
    spots = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines if len(line.get_xdata()) == 1}
    assert {(40.0, 2e10), (1.0, 1e10), (10.0, 5e9)} <= spots
    assert {text.get_text() for text in axes.texts if text.get_gid() == "label"} == {"a+x", "b+x", "c+x"}
    assert no_texts_meet(axes.figure)


def test_each_precision_has_a_roof_of_its_own() -> None:
    peak = {"peak_flops": 2e11, "peak_bandwidth": 1e10, "peak_precision": "int8"}
    quantized = [latency(0.05), Measurement(quantity="achieved_flops", samples=(6e10,), detail=peak), single("arithmetic_intensity", 160)]
    group = group_of(record("a+x", measured=reached(2e10, 40)), record("a+x", precision="int8-static", measured=quantized))
    assert roofs_of(group) == [Roof("in fp32 with 2 threads", 9e10, 3e10), Roof("in int8 with 2 threads", 2e11, 3e10)]
