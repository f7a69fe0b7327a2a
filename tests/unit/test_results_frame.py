"""Records as a data frame."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness.results
from harness.results.store import write_record
from tests.builders import failed, latency, miou, record


def test_one_row_per_record_and_quantity(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    write_record(tmp_path, record(measured=[latency(0.05), miou(0.9)]))
    write_record(tmp_path, record(backend="onnxruntime", measured=[failed("latency", "out of memory")]))
    (tmp_path / "broken.json").write_text("{")
    frame = harness.results.frame(tmp_path)
    assert len(frame) == 3
    good = frame[(frame.quantity == "latency") & (frame.runtime == "torch_eager")].iloc[0]
    assert (good.value, good.samples, good.unit) == (pytest.approx(0.05), 101, "s")
    assert good.low < good.value < good.high < good.p95
    bad = frame[frame.missing.notna()].iloc[0]
    assert (bad.missing, bad.reason, bad.samples) == ("failed", "out of memory", 0)
    assert frame.attrs["problems"][0][0].endswith("broken.json")
    # The function stays a function after its module is loaded.
    assert len(harness.results.frame(tmp_path)) == 3


def test_no_records_still_has_the_columns(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    frame = harness.results.frame(tmp_path)
    assert frame.empty
    assert "quantity" in frame.columns
