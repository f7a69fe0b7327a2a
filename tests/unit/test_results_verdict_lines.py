"""The end of a profile: an answer per record and a line per limit, nothing where there is no budget."""

import pytest

from harness.core.deployment import Limit
from harness.results.verdict_lines import verdict_lines
from tests.builders import latency, miou, profile, record


def limited(**limits):
    return profile(budget=tuple(Limit(quantity=name, **bound) for name, bound in limits.items()))


def test_each_record_has_its_answer_and_each_limit_its_line():
    settings = limited(latency={"max": 0.06}, miou={"min": 0.95})
    good = record(profile=limited(latency={"max": 0.06}), measured=[latency(0.05)])
    bad = record(profile=settings, backend="onnxruntime", measured=[latency(0.05), miou(0.8)])
    lines = verdict_lines([good, bad])
    assert lines[0] == "READY for cpu-default: unet+unet on torch_eager fp32, cpu, batch 1"
    assert " ".join(lines[1].split()) == "PASS latency, p50 at most 60.0 ms 50.0 ms (49.5 ms to 50.5 ms) the whole interval is within the limit"
    assert lines[2].startswith("NOT READY for cpu-default: unet+unet on onnxruntime")
    assert [line.split()[0] for line in lines[3:]] == ["PASS", "FAIL"]


def test_what_is_unknown_is_explained_once():
    lines = verdict_lines([record(profile=limited(energy={"max": 1.0}), measured=[latency(0.05)])] * 2)
    assert [line.split()[0] for line in lines] == ["UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN"]
    assert "not among the probes" in lines[1]
    assert "no FAIL" in lines[-1]


def test_without_a_budget_nothing_is_said():
    assert verdict_lines([record()]) == []


@pytest.mark.parametrize(("count", "said"), [(101, "needs 130 independent samples"), (400, "also by MLPerf's rule at 99 %")])
def test_a_limit_on_a_tail_says_what_mlperfs_rule_says(count, said):
    settings = profile(budget=(Limit(quantity="latency", statistic="p95", max=0.2),))
    (_, line) = verdict_lines([record(profile=settings, measured=[latency(0.05, count=count)])])
    assert line.split()[0] == "PASS"
    assert said in line
