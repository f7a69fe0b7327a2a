"""The picture: labels don't collide, the front is what it says, the same records give the same bytes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.main import run
from harness.results.figure import Figure
from harness.results.pareto import Better
from harness.results.placement import Box, place_labels
from harness.results.plot import COLORS, draw, log_axis
from harness.results.plot_kinds import KINDS
from harness.results.plot_labels import MOST_LABELS, Dot, label_of
from harness.results.plot_tradeoff import dots_of, picture_of, staircase
from harness.results.store import Records, write_record
from harness.results.table import Group, table_from_records
from tests.builders import checkpoint, failed, miou, outcomes, record

pytest.importorskip("matplotlib")

BASE = {"majority": 0.441, "threshold": 0.834}
SPEC = (("unet+unet", 0.18, 0.9, 48), ("vit+upernet", 0.12, 0.886, 31), ("vit+linear", 0.043, 0.86, 11.2), ("timm:convnext_tiny+fpn", 0.066, 0.912, 9.1))


def example() -> Group:
    """Four models on two runtimes, one row without latency, one in int8."""
    records = [
        record(model, backend=backend, measured=outcomes(p50=p50 * factor, score=score, gflop=gflop, baselines=BASE))
        for model, p50, score, gflop in SPEC
        for backend, factor in (("torch_eager", 1.0), ("onnxruntime", 0.62))
    ]
    records.append(record("vit+linear", backend="onnxruntime", precision="int8", measured=outcomes(p50=0.02, score=0.83, gflop=11.2, baselines=BASE)))
    records.append(record("dofa+upernet", measured=[failed("latency", "out of memory"), miou(0.87)]))
    return table_from_records(Records(tuple(records))).groups[0]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = draw(example(), tmp_path / "a", picture_of), draw(example(), tmp_path / "b", picture_of)
    assert [path.name for path in first] == ["a.png", "a.svg"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG")
    svg = first[1].read_text()
    assert "<dc:date>" not in svg
    for said in ("vit+linear int8", "timm:convnext_tiny+fpn", "threshold (no training): 0.834", "lab-1: bluemarble_ice 1.0", "GFLOP", "ms"):
        assert f"<!-- {said}" in svg or said in svg


@pytest.mark.filterwarnings("error")
def test_names_are_drawn_as_they_are_whatever_they_hold(tmp_path: Path) -> None:
    strange = "a$_{$\u6a21+b"
    group = table_from_records(Records((record(strange), record(strange, machine="$x^$", backend="onnxruntime")))).groups[0]
    for number, make in enumerate((picture_of, KINDS["memory"], KINDS["batch"])):
        _, drawn = draw(group, tmp_path / str(number), make)
        assert "$" in drawn.read_text()


def crowd() -> Group:
    """Twelve models on three runtimes, many of them near each other."""
    chosen = random.Random(1)
    records = []
    for number in range(12):
        p50, score = chosen.uniform(0.05, 0.3), chosen.uniform(0.84, 0.88)
        for backend, factor in (("torch_eager", 1.0), ("onnxruntime", 0.6), ("openvino", 0.5)):
            measured = outcomes(p50=p50 * factor, score=score, gflop=p50 * 300, baselines=BASE)
            records.append(record(f"encoder{number}+upernet", backend=backend, measured=measured))
    return table_from_records(Records(tuple(records))).groups[0]


@pytest.mark.parametrize("front", [("miou", "latency", "forward_flops"), ("latency", "throughput", "argmax_agreement", "miou_drop"), ("speedup", "miou")])
@pytest.mark.parametrize("make", [example, crowd])
def test_no_label_covers_another_or_a_point(make: Callable[[], Group], front: tuple[str, ...]) -> None:
    group = make()
    picture = picture_of(group, front)
    picture.draw_without_rendering()
    for axes, key in zip(picture.axes, front[1:], strict=True):
        boxes = [text.get_window_extent() for text in axes.texts if text.get_gid() == "label"]
        points = [axes.transData.transform((dot.x.value, dot.y.value)) for dot in dots_of(group, key, front[0])]
        assert len(boxes) >= 5
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        assert not any(box.contains(*point) for box in boxes for point in points)
        assert all(axes.bbox.contains(*point) for point in points)
        assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in boxes)


def test_axes_of_choice_have_units_a_scale_that_fits_and_say_which_way_is_better() -> None:
    picture = picture_of(example(), ("latency", "speedup", "argmax_agreement", "artifact_size"))
    left, middle, right = picture.axes
    assert left.get_ylabel() == "latency, median (ms, log scale, lower is better); bars: 95 % intervals"
    assert [axes.get_xlabel() for axes in picture.axes] == [
        "speed-up (x, higher is better)",  # 1 to 1.6: not spread enough for a log scale
        "agreement (%, higher is better)",
        "size on disk (MB, lower is better)",
    ]
    assert [axes.get_xscale() for axes in picture.axes] == ["linear"] * 3
    assert {axes.get_yscale() for axes in picture.axes} == {"log"}
    assert left.get_ylim() == right.get_ylim()
    ticks = [float(text.get_text()) for text in middle.get_xticklabels()]
    assert max(ticks) == 100
    assert middle.get_xlim()[0] < 0.99987 < middle.get_xlim()[1]


def test_hours_and_kilowatt_hours_have_round_ticks() -> None:
    axes = picture_of(example(), ("miou", "latency")).axes[0]
    log_axis(axes, "x", [7200.0, 90000.0], 3600.0)
    low, high = axes.get_xlim()
    assert [label.get_text() for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True) if low < tick < high] == [
        "2",
        "5",
        "10",
        "20",
        "50",
    ]


@pytest.mark.parametrize("ways", itertools.product(("lower", "higher"), repeat=2))
def test_the_front_steps_from_the_best_across_to_the_best_up(ways: tuple[Better, Better]) -> None:
    chosen = random.Random(5)
    row = example().rows[0]
    dots = [Dot(row, Figure(chosen.random()), Figure(chosen.random()), on_front=chosen.random() < 0.7) for _ in range(40)]
    signs = [1 if way == "lower" else -1 for way in ways]
    points = [(dot.x.value * signs[0], dot.y.value * signs[1]) for dot in dots if dot.on_front]
    best = sorted(one for one in points if not any(other != one and other[0] <= one[0] and other[1] <= one[1] for other in points))
    assert staircase(dots, ways) == [(x * signs[0], y * signs[1]) for x, y in best]


def test_of_many_points_only_those_on_the_front_have_names() -> None:
    spread = random.Random(2)
    records = [record(f"encoder{n}+unet", measured=outcomes(p50=spread.uniform(0.02, 0.5), score=spread.uniform(0.3, 0.8))) for n in range(MOST_LABELS + 20)]
    records.append(record("best+unet", measured=outcomes(p50=0.01, score=0.95)))
    group = table_from_records(Records(tuple(records))).groups[0]
    picture = picture_of(group, ("miou", "latency"))
    assert [text.get_text() for text in picture.axes[0].texts if text.get_gid() == "label"] == ["best+unet"]
    assert [text.get_text() for text in picture.texts if "left out" in text.get_text()] == ["100 labels left out for space; the table has every row"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--front", "miou,energi"], "a front can't be of 'energi'; there are miou, "),
        (["--front", "miou,model"], "a front can't be of 'model'; there are miou, "),
        (["--front", "miou,energy"], "no row has a figure of energy; there are miou, "),
        (["--front", "miou"], "a front is of two quantities or more, got 'miou'"),
        (["--kind", "memory", "--front", "miou,latency"], "--front is of the tradeoff, and --kind memory has none"),
    ],
)
def test_a_front_that_can_not_be_drawn_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str) -> None:
    write_record(tmp_path / "records", record())
    assert run(["plot", "--records", str(tmp_path / "records"), "--out", str(tmp_path / "picture"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("picture*"))


def test_a_front_of_choice_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(tmp_path / "records", record())
    assert run(["plot", "--records", str(tmp_path / "records"), "--out", str(tmp_path / "picture"), "--front", "latency,peak_host_memory"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"picture.{ending}") for ending in ("png", "svg")]
    drawn = (tmp_path / "picture.svg").read_text()
    assert "peak host memory (MB" in drawn
    assert "GFLOP" not in drawn


def test_the_front_is_a_rising_staircase_of_its_points() -> None:
    dots = dots_of(example(), "latency")
    steps = staircase(dots)
    assert steps == sorted(steps)
    assert [y for _, y in steps] == sorted({y for _, y in steps})
    assert {(dot.x.value, dot.y.value) for dot in dots if dot.on_front} >= set(steps)
    assert max(steps, key=lambda step: step[1])[1] == pytest.approx(0.912)


def test_a_row_without_latency_is_in_the_other_panel_only() -> None:
    group = table_from_records(Records((record(measured=[failed("latency", "x"), *outcomes()[1:]]),))).groups[0]
    assert dots_of(group, "latency") == []
    assert len(dots_of(group, "forward_flops")) == 1
    assert "no row has both quantities" in [text.get_text() for text in picture_of(group).axes[0].texts]


def test_labels_say_what_tells_rows_apart() -> None:
    rows = (record(made=checkpoint(regime="frozen")), record(made=checkpoint(regime="scratch")), record("some_very_long_encoder_name_v2+decoder"))
    group = table_from_records(Records(rows)).groups[0]
    names = sorted(label_of(row, group) for row in group.rows)
    assert names == ["some_very_long_..2+decoder", "unet+unet frozen", "unet+unet scratch"]


def test_crowded_labels_never_overlap_and_what_has_no_room_is_none() -> None:
    chosen = random.Random(3)
    frame = Box(0, 0, 300, 200)
    anchors = [(chosen.uniform(0, 300), chosen.uniform(0, 200)) for _ in range(60)]
    points = [Box(x - 4, y - 4, x + 4, y + 4) for x, y in anchors]
    placed = place_labels(anchors, [(70.0, 11.0)] * 60, inside=frame, taken=points, wishes=[[Box(0, 99, 300, 101)]])
    found = [box for box in placed if box is not None]
    assert 10 <= len(found) < 60
    assert not any(a.overlaps(b) for a, b in itertools.combinations(found, 2))
    assert not any(box.overlaps(point) for box in found for point in points)
    assert all(box.is_inside(frame) for box in found)


def test_a_wish_is_given_up_rather_than_the_label() -> None:
    everywhere = Box(0, 0, 100, 100)
    assert place_labels([(50, 50)], [(20.0, 10.0)], inside=everywhere, taken=[], wishes=[[everywhere]]) == place_labels(
        [(50, 50)], [(20.0, 10.0)], inside=everywhere, taken=[]
    )


def test_colors_are_distinct() -> None:
    assert len(set(COLORS)) == len(COLORS)
