"""Cryo-Bench's table: what is published, and what follows from it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from harness.results.cryo_bench import lines, render_csv, render_markdown, write

TABLES = Path(__file__).parents[2] / "bench_results" / "tables"


def test_the_files_in_the_repository_are_current(tmp_path: Path) -> None:
    """To write them again: python -m harness.results.cryo_bench bench_results/tables."""
    for path in write(tmp_path):
        assert path.read_text(encoding="utf-8") == (TABLES / path.name).read_text(encoding="utf-8")


def test_all_sixteen_models_have_scores_and_counts() -> None:
    found = lines()
    assert len({line.name for line in found}) == 16
    assert len({line.counted.model for line in found}) == 16
    assert all(line.counted.counted_gmac > 0 for line in found)


def test_one_average_does_not_follow_from_its_row() -> None:
    wrong = [line for line in lines() if not (line.average_is_right and line.rank_is_right)]
    assert [line.name for line in wrong] == ["RAMEN"]
    # (82.17 + 73.67 + 16.52 + 25.10 + 70.56) / 5
    assert (wrong[0].said_average, wrong[0].average) == (57.17, pytest.approx(53.604))
    text = render_markdown(lines())
    assert "~~57.17~~ **53.60**" in text
    assert text.count("~~") == 2


def test_ranks_by_hand() -> None:
    by_name = {line.name: line for line in lines()}
    # U-Net: GLID 2nd, GLD 6th, SICD 2nd, CaFFe 1st, GSDD 3rd.
    assert by_name["U-Net"].rank == pytest.approx((2 + 6 + 2 + 1 + 3) / 5)
    assert sum(line.rank for line in by_name.values()) == pytest.approx(16 * 17 / 2)


def test_the_csv_says_which_values_are_right() -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(lines()))))
    assert [row["model"] for row in rows if row["average_is_right"] != "True"] == ["RAMEN"]
    assert all(float(row["tile_gmac"]) == pytest.approx(float(row["gmac"]) * int(row["windows_of_512"]), abs=1e-3) for row in rows)
