"""Histories: the exact best split, few false alarms on many kinds of noise, one machine at a time, commits from the records."""

from __future__ import annotations

import itertools
import json
import math
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.core.artifact import FOREIGN
from harness.core.errors import RecordError, UnknownNameError
from harness.results.change_points import FEWEST, SHORTEST, change_points, noise_of, penalty
from harness.results.history import History, history
from harness.results.render_history import lines_of, object_of
from harness.support.commit import code_at
from tests.builders import BANDS, checkpoint, environment, failed, latency, miou, record, single


def deviations(values: list[float]) -> float:
    middle = sorted(values)[(len(values) - 1) // 2]
    return sum(abs(value - middle) for value in values)


def best_split(values: list[float]) -> list[int]:
    """By trying all of them."""
    price, noise = penalty(len(values)), noise_of(values)
    choices = [cuts for count in range(4) for cuts in itertools.combinations(range(1, len(values)), count)]
    costs = {}
    for cuts in choices:
        edges = [0, *cuts, len(values)]
        pieces = [values[start:end] for start, end in itertools.pairwise(edges)]
        if min(map(len, pieces)) >= SHORTEST:
            costs[cuts] = sum(map(deviations, pieces)) / noise + price * len(cuts)
    return list(min(costs, key=lambda cuts: costs[cuts]))


@pytest.mark.parametrize("seed", range(20))
def test_the_split_is_the_best_of_all(seed: int) -> None:
    rng = random.Random(seed)
    values = [rng.gauss(8 * (index >= 4) - 12 * (index >= 8), 1) for index in range(11)]
    assert change_points(values) == best_split(values)


NOISES: dict[str, Any] = {
    "normal": lambda rng: rng.gauss(0, 1),
    "skewed": lambda rng: rng.lognormvariate(0, 0.7),
    "outliers": lambda rng: rng.gauss(0, 1) + 8 * (rng.random() < 0.1),
    "two levels": lambda rng: rng.gauss(0, 1) + 4 * (rng.random() < 0.3),
}


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("count", [8, 20, 40])
def test_equal_code_is_seldom_called_changed(kind: str, count: int) -> None:
    series = ([NOISES[kind](random.Random(f"{seed} {index} {count}")) for index in range(count)] for seed in range(100))
    assert sum(bool(change_points(values)) for values in series) <= 7  # at most 3.3 % over larger samples: docs/history.md


def test_a_change_of_eight_deviations_is_found_where_it_is() -> None:
    found = []
    for seed in range(50):
        rng = random.Random(seed)
        found.append(change_points([rng.gauss(8 * (index >= 15), 1) for index in range(20)]))
    assert sum(cuts == [15] for cuts in found) >= 47


def test_one_noisy_run_is_no_change_and_two_stretches_are() -> None:
    assert change_points([0.0, 0.1, -0.1, 0.05, 9.0, 0.0, -0.05, 0.1]) == []
    assert change_points([0.0, 0.1, -0.1, 0.05, 9.0, 9.1, 9.05, 8.9]) == [4]


def test_values_that_never_differ_change_by_any_step() -> None:
    assert change_points([5.0] * 4 + [5.001] * 4) == [4]
    assert change_points([5.0] * FEWEST) == []
    assert change_points([1.0] * (FEWEST - 3) + [2.0] * 2) == []


def measured(values: list[float], quantity: str = "latency", **fields: Any) -> list[Any]:
    made = {"latency": latency, "miou": miou}.get(quantity, lambda value: single(quantity, value))
    return [
        record(
            measured=[made(value)],
            created=f"2026-11-{index + 1:02d}T10:00:00+00:00",
            detail={"code": {"commit": f"{index:08x}{0:032x}", "changed": False}},
            **fields,
        )
        for index, value in enumerate(values)
    ]


STEPS = [0.0500, 0.0502, 0.0499, 0.0501, 0.0500, 0.0560, 0.0559, 0.0562, 0.0560]


def only(found: History) -> Any:
    (series,) = found.series
    return series


def test_a_slowdown_is_marked_at_its_commit_with_its_size() -> None:
    found = history(measured(STEPS))
    (change,) = only(found).changes
    assert (change.index, change.is_worse) == (5, True)
    assert change.before == pytest.approx(0.05)
    assert change.ratio == pytest.approx(1.12)
    assert change.low < 1.12 < change.high
    assert [point.commit for point in only(found).points][5] == f"{5:08x}{0:032x}"
    said = "\n".join(lines_of(found))
    assert "worse from here: 50.0 to 56.0 ms, +12 %" in said
    assert json.loads(json.dumps(object_of(found)))["series"][0]["changes"][0]["commit"] == f"{5:08x}{0:032x}"


@pytest.mark.parametrize("method", ["bootstrap over 20 regions, 2000 resamples", "jackknife over 20 regions, Student's t"])
def test_more_is_better_for_a_score_and_its_interval_over_regions_is_no_noise_between_runs(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def scored(value: float, scored_by: Any = miou) -> Any:
        made = scored_by(value)
        return made.model_copy(update={"bounds": made.bounds.model_copy(update={"method": method})})

    monkeypatch.setitem(globals(), "miou", scored)
    (change,) = only(history(measured([0.80, 0.80, 0.80, 0.80, 0.81, 0.81, 0.81], "miou"), "miou")).changes
    assert (change.index, change.is_worse) == (4, False)


def test_values_that_are_not_positive_change_by_differences() -> None:
    series = only(history(measured([0.0, 0.001, -0.001, 0.0, 0.2, 0.201, 0.199, 0.2], "miou_drop"), "miou_drop"))
    assert not series.is_relative
    (change,) = series.changes
    assert (change.ratio, change.is_worse, change.text) == (None, True, "+0.2")


def test_other_machines_are_counted_and_not_mixed_in() -> None:
    here = measured(STEPS)
    there = measured([0.1, 0.1], machine="lab-2", environment=environment("lab-2", fingerprint="ffff"))
    found = history([*there, *here])
    assert found.fingerprint == "f0"
    assert len(only(found).points) == len(STEPS)
    assert [(one.fingerprint, one.machine, one.records) for one in found.elsewhere] == [("ffff", "lab-2", 2)]
    assert len(only(history([*there, *here], fingerprint="ff")).points) == 2


def test_runtimes_and_batches_are_series_of_their_own_by_name() -> None:
    found = history([*measured(STEPS), *measured([0.01, 0.01], backend="onnxruntime"), *measured([0.2], batch=4)])
    assert [series.name for series in found.series] == ["unet+unet, torch_eager, batch 1", "unet+unet, onnxruntime, batch 1", "unet+unet, torch_eager, batch 4"]


def test_what_is_missing_is_counted() -> None:
    assert history([*measured(STEPS), record(measured=[failed("latency", "crashed")])]).without == 1
    assert history([record(measured=[failed("latency", "crashed")])]).series == ()


def test_a_column_of_the_table_has_a_history_too() -> None:
    assert only(history(measured([0.05]), "throughput")).points[0].figure.value == pytest.approx(128 * 128 / 0.05)


def test_unknown_names_are_told() -> None:
    with pytest.raises(UnknownNameError, match="latency"):
        history(measured(STEPS), "latencyy")
    with pytest.raises(UnknownNameError) as unknown:
        history(measured(STEPS), "xyz")
    names = unknown.value.message.partition("known: ")[2].split(", ")
    assert len(names) == len(set(names)) > 20
    with pytest.raises(RecordError, match="f0"):
        history(measured(STEPS), fingerprint="abc")
    with pytest.raises(RecordError, match="no record"):
        history([])


def git(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    return subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA"):
        monkeypatch.delenv(name, raising=False)
    assert code_at(tmp_path) == {}
    git(tmp_path, "init", "-q")
    (tmp_path / "model.py").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert code_at(tmp_path) == {"commit": commit, "changed": False}
    git(tmp_path, "tag", "v1")
    (tmp_path / "model.py").write_text("two")
    assert code_at(tmp_path) == {"commit": commit, "changed": True}


def test_without_git_the_runner_says_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_SHA", "abc")
    monkeypatch.setenv("PATH", "")
    assert code_at(tmp_path) == {"commit": "abc", "changed": False}


def test_the_picture_has_a_panel_per_series_with_changes_named() -> None:
    pytest.importorskip("matplotlib")
    from harness.results.plot_history import history_picture

    picture = history_picture(history([*measured(STEPS), *measured([0.01, 0.01], backend="onnxruntime")]))
    first, second = picture.axes
    assert [text.get_text().strip() for text in first.texts] == ["+12 %"]
    assert not second.texts
    assert [label.get_text() for label in second.get_xticklabels()] == [f"{index:08x}" for index in range(len(STEPS))]


def test_rounded_and_paged_figures_whose_neighbors_tie_are_no_changes_and_a_step_is():
    rng = random.Random(5)
    for _ in range(30):
        assert change_points([math.log(1e8 + 4096 * rng.randint(1, 4) * (rng.random() < 0.2)) for _ in range(20)]) == []
    assert change_points([math.log(value) for value in [0.8] * 6 + [0.80002] * 2 + [0.8] * 6]) == []
    assert change_points([math.log(value) for value in [100.0] * 7 + [101.0] * 7]) == [7]


def runs_of(model: str, count: int, day: int, p50: float, **facts: Any) -> list[Any]:
    """Daily runs of one training whose weights are new each day."""
    made = [checkpoint(model, **{"weights_sha256": f"{day + index:064d}", **facts}) for index in range(count)]
    return [record(model, made=one, created=f"2026-10-{day + index:02d}T10:00:00", measured=[latency(p50)]) for index, one in enumerate(made)]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"encoder_options": {"width": 128}}, "width=128"),
        ({"decoder_options": {"depth": 3}}, "depth=3"),
        ({"recipe": {"name": "long", "epochs": 99}}, "long"),
        ({"initial_weights": {"source": "resnet.pth", "sha256": "1"}}, "resnet.pth"),
        ({"seed": 1}, "seed 1"),
        ({"label_fraction": 0.015}, "1.5%"),
        ({"bands": BANDS[:2]}, "#"),
        ({"input_size": 256}, "#"),
    ],
)
def test_a_model_of_other_settings_is_another_series_and_no_regression(changed: dict[str, Any], named: str) -> None:
    found = history([*runs_of("a+x", 6, 1, 0.01), *runs_of("a+x", 6, 10, 0.03, **changed)])
    assert [(len(series.points), series.changes) for series in found.series] == [(6, ()), (6, ())]
    assert len({series.name for series in found.series}) == 2
    assert any(named in series.name for series in found.series)


def test_versions_of_a_foreign_file_are_one_series_and_another_file_of_that_name_is_not() -> None:
    facts = {"regime": FOREIGN, "data": "unknown"}
    versions = [*runs_of("model", 4, 1, 0.01, **facts), *runs_of("model", 4, 10, 0.03, **facts)]
    other = runs_of("model", 6, 20, 0.09, classes=("a", "b", "c"), **facts)
    small, foreign = sorted(history([*versions, *other]).series, key=lambda series: len(series.points))
    assert (len(small.points), small.changes) == (6, ())
    assert [change.index for change in foreign.changes] == [4]
    assert "2 classes" in foreign.name
    assert "3 classes" in small.name
