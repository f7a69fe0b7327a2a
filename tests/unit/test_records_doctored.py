"""Records that no run writes: each is named with its field and left out, and every verb that reads goes on with the others."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
from rich.console import Console

from harness.core.artifact import DataUse
from harness.core.measurement import Interval, Measurement
from harness.core.record import ProfileRecord
from harness.results import render_csv, render_html, render_json, render_latex, render_markdown, render_recommendation, render_report, render_terminal
from harness.results.area import Prices
from harness.results.figure import Figure
from harness.results.history import history
from harness.results.plot import draw
from harness.results.plot_history import history_picture
from harness.results.plot_kinds import KINDS
from harness.results.readiness import readiness
from harness.results.recommend import Asked, recommend
from harness.results.render_history import lines_of, object_of
from harness.results.store import Records, read_records, write_record
from harness.results.table import View, table_from_records
from harness.results.transfer import export_records
from tests.builders import checkpoint, latency, miou, record, single

GOOD = record("good+x")
PRICED = View(prices=Prices(per_hour=2.5, grid=350.0))


def scored(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Changes to the detail of the mIoU."""
    return lambda content: content["outcomes"][1]["detail"].update(changes)


def measured(index: int, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["outcomes"][index].update(changes)


def bounds(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["outcomes"][1]["bounds"].update(changes)


def inside(*keys: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in keys:
            content = content[key]
        content.update(changes)

    return change


NAN, INF = math.nan, math.inf
MISSING = {"kind": "missing", "quantity": "beauty", "why": "skipped", "reason": "x"}
RATE = {"kind": "measured", "quantity": "throughput", "detail": {}}
#: What is changed in a good record, and the field that the problem names.
DOCTORED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "an interval's end is NaN": (bounds(low=NAN), "bounds.low"),
    "an interval's end is infinite": (bounds(high=INF), "bounds.high"),
    "an interval is upside down": (bounds(low=0.95, high=0.9), "bounds"),
    "an interval is huge": (bounds(high=1e308), "bounds.high"),
    "a sample is NaN": (measured(0, samples=[NAN]), "samples"),
    "samples are huge": (measured(4, samples=[1e308, 1e308]), "samples"),
    "a sample is huge and negative": (measured(4, samples=[-1e308]), "samples"),
    "a warm-up sample is infinite": (measured(0, warmup=[INF]), "warmup"),
    "a time is next to nothing": (measured(0, samples=[1e-200]), "latency of 1e-200 s"),
    "a time's interval holds zero": (measured(0, bounds={"low": 0.0, "high": 1.0, "method": "x"}), "latency of 0 s"),
    "a throughput is 0": (measured(5, **RATE, samples=[0.0]), "throughput of 0 px/s"),
    "a throughput is negative": (measured(5, **RATE, samples=[-5.0]), "throughput of -5 px/s"),
    "gsd is next to nothing": (inside("data", gsd_m=1e-200), "data.gsd_m"),
    "gsd is 0": (inside("data", gsd_m=0.0), "data.gsd_m"),
    "gsd is huge": (inside("data", gsd_m=1e200), "data.gsd_m"),
    "gsd is NaN": (inside("data", gsd_m=NAN), "data.gsd_m"),
    "the tile is 0": (inside("cell", tile=0), "cell.tile"),
    "the tile is no float": (inside("cell", tile=10**400), "cell.tile"),
    "the batch is 0": (inside("cell", batch=0), "cell.batch"),
    "the memory is no float": (inside("environment", memory=10**400), "environment.memory"),
    "the load is NaN": (inside("environment", load={"load_1min": NAN}), "environment.load"),
    "a label fraction is NaN": (inside("checkpoint", label_fraction=NAN), "checkpoint.label_fraction"),
    "a baseline is text": (scored(baselines={"majority": "x"}), "detail.baselines.majority"),
    "a baseline is null": (scored(baselines={"majority": None}), "detail.baselines.majority"),
    "baselines are a list": (scored(baselines=[1]), "detail.baselines"),
    "regions are a list": (scored(regions=[1, 2]), "detail.regions"),
    "tiles are an object": (scored(tiles={}), "detail.tiles"),
    "the split is a list": (scored(split=["test"]), "detail.split"),
    "classes are a list": (scored(per_class=[0.5]), "detail.per_class"),
    "a class has text": (scored(per_class={"ice": "high"}), "detail.per_class.ice"),
    "a region is NaN": (scored(per_region={"north": NAN}), "detail.per_region.north"),
    "worst tiles are null": (measured(6, detail={"worst_tiles": None}), "detail.worst_tiles"),
    "worst tiles are text": (measured(6, detail={"worst_tiles": "abc"}), "detail.worst_tiles"),
    "an agreement is text": (measured(6, detail={"worst_tiles": [{"tile": "a", "agreement": "high"}]}), "detail.worst_tiles.0.agreement"),
    "a peak is 0": (measured(5, detail={"peak_flops": 1.0, "peak_bandwidth": 0.0}), "detail.peak_bandwidth"),
    "a quantity is of a newer version": (measured(0, quantity="beauty"), "unknown quantity 'beauty'"),
    "a missing quantity is of a newer version": (lambda content: content["outcomes"].append(MISSING), "unknown quantity 'beauty'"),
    "the code is text": (inside("detail", code="abc"), "detail.code"),
    "the commit is a number": (inside("detail", code={"commit": 5}), "detail.code.commit"),
    "the parity is text": (inside("detail", export_parity="abc"), "detail.export_parity"),
    "the facts are a list": (inside("detail", facts=["x"]), "detail.facts"),
}


def write_doctored(folder: Path, name: str) -> Path:
    content = json.loads(record("bad+x").model_dump_json())
    DOCTORED[name][0](content)
    path = folder / f"{name.replace(' ', '-')}.json"
    path.write_text(json.dumps({**content, "id": f"bad {name}"}))
    return path


@pytest.mark.parametrize("name", DOCTORED)
def test_a_doctored_record_is_named_with_its_field(tmp_path: Path, name: str) -> None:
    write_record(tmp_path, GOOD)
    path = write_doctored(tmp_path, name)
    found = read_records(tmp_path)
    assert found.records == (GOOD,)
    (problem,) = found.problems
    assert str(path) in problem.reason
    assert DOCTORED[name][1] in problem.reason


@pytest.fixture
def every_doctored(tmp_path: Path) -> Records:
    folder = tmp_path / "records"
    write_record(folder, GOOD)
    for name in DOCTORED:
        write_doctored(folder, name)
    return read_records(folder)


TABLES: dict[str, Callable[[Any], str]] = {
    "md": render_markdown.render,
    "html": render_html.render,
    "json": render_json.render,
    "csv": render_csv.render,
    "latex": render_latex.render,
    "terminal": lambda table: drawn(render_terminal.render(table)),
}


def drawn(what: Any) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(what)
    return text.getvalue()


@pytest.mark.parametrize("form", TABLES)
def test_tables_go_on_with_the_others(every_doctored: Records, form: str) -> None:
    assert len(every_doctored.problems) == len(DOCTORED)
    text = TABLES[form](table_from_records(every_doctored, view=PRICED))
    assert "good" in text
    assert "bad+x" not in text


def test_pictures_history_recommendation_report_and_export_go_on_with_the_others(every_doctored: Records, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    read_all(every_doctored, tmp_path)
    assert (tmp_path / "all.csv").read_text().count("good+x") == len(GOOD.outcomes)


def read_all(records: Records, folder: Path) -> None:
    """Every verb that computes from records, on all of them."""
    (group,) = table_from_records(records, view=PRICED).groups
    for kind, make in KINDS.items():
        assert len(draw(group, folder / kind, make)) == 2
    answer = recommend(group, (Asked("--max-latency 1s", "latency", max=1.0), Asked("--min-throughput 1", "throughput", min=1.0)), "throughput")
    json.dumps(render_recommendation.object_of(answer), allow_nan=False)
    assert render_recommendation.lines_of(answer)
    for quantity in ("latency", "miou", "area_rate"):
        found = history(records.records, quantity)
        json.dumps(object_of(found), allow_nan=False)
        assert lines_of(found)
        history_picture(found)
    judged = readiness("subject", [(one, None) for one in records.records], records.records[0].profile)
    assert render_report.html(judged, options={}, records="r")
    assert render_report.markdown(judged, options={}, records="r")
    assert export_records(records, folder / "all.csv", "csv")


def extreme(model: str, *, seconds: float, gsd: float, figure: float) -> ProfileRecord:
    """As far as a record may go."""
    made = checkpoint(model, dataset=DataUse(name="ice", version="1", gsd_m=gsd, tile=128))
    rest = [single(name, figure) for name in ("forward_flops", "peak_host_memory", "artifact_size", "energy", "parameters", "achieved_flops")]
    found = [latency(seconds), single("throughput", 1 / seconds), miou(0.9), single("miou_drop", 0.0), single("arithmetic_intensity", 1.0), *rest]
    return record(model, made=made, measured=found)


@pytest.mark.parametrize(("seconds", "gsd", "figure"), [(9e99, 1e-3, 1e100), (2e-100, 1e6, 0.0), (9e99, 1e6, 0.0), (2e-100, 1e-3, 1e100)])
def test_what_is_just_allowed_gives_finite_figures_everywhere(tmp_path: Path, seconds: float, gsd: float, figure: float) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    records = Records((extreme("far+x", seconds=seconds, gsd=gsd, figure=figure),))
    table = table_from_records(records, view=PRICED)
    assert all(math.isfinite(entry.value) for entry in table.groups[0].rows[0].entries.values() if isinstance(entry, Figure))
    assert all(render(table) for render in TABLES.values())
    read_all(records, tmp_path)


@pytest.mark.parametrize(("low", "high"), [(math.nan, 1.0), (0.0, math.inf), (1.0, 0.5)])
def test_an_interval_has_finite_ends_in_order(low: float, high: float) -> None:
    with pytest.raises(pydantic.ValidationError):
        Interval(low=low, high=high, method="x")


def test_what_probes_write_beside_the_known_keys_is_kept() -> None:
    detail = {"baselines": {"majority": 0.5}, "per_class": {"ice": None, "other": 0.25}, "confusion": [[1, 0], [2, 3]], "note": {"any": [1, "x", None]}}
    assert Measurement(quantity="miou", samples=(0.5,), detail=detail).detail == detail
