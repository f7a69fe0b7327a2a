"""Memory, classes and batches as pictures: every figure is drawn where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.results.plot import draw
from harness.results.plot_kinds import KINDS, MOST_ROWS, batch_picture, classes_picture, memory_picture
from harness.results.store import Records
from harness.results.table import Group, table_from_records
from tests.builders import failed, latency, miou, record, single

pytest.importorskip("matplotlib")


def group_of(*records: Any) -> Group:
    return table_from_records(Records(records)).groups[0]


def memory(model: str, running: float) -> Any:
    return record(model, measured=[miou(0.9), single("import_memory", 8e7), single("load_memory", 2e8), single("peak_host_memory", running)])


def points(axes: Any) -> dict[str, list[tuple[float, float]]]:
    return {str(line.get_label()): [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)] for line in axes.lines}


def names(axes: Any) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_memory_by_phase_least_first() -> None:
    axes = memory_picture(group_of(memory("big+x", 9e8), memory("small+x", 3e8), record("none+x", measured=[miou(0.5)]))).axes[0]
    assert names(axes) == ["small+x, torch_eager, batch 1", "big+x, torch_eager, batch 1"]
    assert points(axes)["while running"] == [(300.0, 0.0), (900.0, 1.0)]
    assert points(axes)["after importing the runtime"] == [(80.0, 0.0), (80.0, 1.0)]
    assert "(MB)" in axes.get_xlabel()


def test_iou_of_each_class_in_the_order_of_the_table() -> None:
    axes = classes_picture(group_of(record("a+x", measured=[miou(0.5)]), record("b+x", measured=[miou(0.9)]))).axes[0]
    assert names(axes)[0].startswith("b+x")
    assert points(axes) == {"other": [(pytest.approx(0.92), 0.0), (pytest.approx(0.52), 1.0)], "ice": [(pytest.approx(0.88), 0.0), (pytest.approx(0.48), 1.0)]}


def test_a_class_without_pixels_is_not_drawn() -> None:
    measured = miou(0.9)
    without = measured.model_copy(update={"detail": {**measured.detail, "per_class": {"other": 0.9, "ice": None}}})
    assert list(points(classes_picture(group_of(record(measured=[without]))).axes[0])) == ["other"]


def test_latency_and_throughput_by_batch() -> None:
    rows = [record("a+x", batch=batch, measured=[latency(0.1 * batch**0.5)]) for batch in (4, 1, 2)]
    picture = batch_picture(group_of(*rows, record("alone+x", measured=[latency(0.1)]), record("a+x", batch=8, measured=[failed("latency", "out of memory")])))
    latencies, rates = (axes.containers for axes in picture.axes)
    assert len(latencies) == len(rates) == 1
    line = latencies[0].lines[0]
    assert list(line.get_xdata()) == [1, 2, 4]
    assert list(line.get_ydata()) == pytest.approx([100, 141.42, 200], rel=1e-3)
    assert list(rates[0].lines[0].get_ydata()) == pytest.approx([128 * 128 * batch / (0.1 * batch**0.5) / 1e6 for batch in (1, 2, 4)], rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_draw_is_said(kind: str) -> None:
    texts = [text.get_text() for axes in KINDS[kind](group_of(record(measured=[failed("latency", "x")]))).axes for text in axes.texts]
    assert any(text.startswith(("no row has", "nothing ran")) for text in texts)


def test_rows_without_room_are_counted() -> None:
    picture = memory_picture(group_of(*(memory(f"m{number}+x", 3e8) for number in range(MOST_ROWS + 2))))
    assert len(names(picture.axes[0])) == MOST_ROWS
    assert "2 rows left out for space; the table has every row" in [text.get_text() for text in picture.texts]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    group = group_of(memory("a+x", 3e8))
    first, second = (draw(group, tmp_path / name, KINDS["memory"]) for name in ("one", "two"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
