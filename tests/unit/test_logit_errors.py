"""Errors of logits added tile by tile against numpy over all of them at once."""

import numpy as np
import pytest

from harness.support.logit_errors import LogitErrors


def figures(pairs):
    errors = LogitErrors()
    for logits, expected in pairs:
        errors.add(logits, expected)
    return {measured.quantity: measured for measured in errors.result()}


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("seed", range(3))
def test_the_figures_are_numpys(seed, scale):
    rng = np.random.default_rng(seed)
    pairs = [tuple(rng.standard_normal((2, 3, 16, 16)).astype(np.float32) * scale) for _ in range(5)]
    differences = np.abs(np.stack([logits - expected for logits, expected in pairs]))
    found = figures(pairs)
    assert found["max_abs_error"].value == differences.max()
    assert found["mean_abs_error"].value == pytest.approx(differences.mean(dtype=np.float64), rel=1e-12)
    exact = np.percentile(differences, 99, method="inverted_cdf")
    assert exact <= found["p99_abs_error"].value <= exact * (1 + 1 / 128)
    assert found["max_abs_error"].detail == {"logits": differences.size, "largest_logit": np.abs([expected for _, expected in pairs]).max()}


def test_equal_logits_have_no_error():
    same = np.ones((2, 4, 4), np.float32)
    assert [measured.value for measured in figures([(same, same)]).values()] == [0.0, 0.0, 0.0]


def test_one_logit_in_fifty_is_seen_by_the_percentile_and_one_in_two_hundred_is_not():
    expected, often, rarely = np.zeros((3, 2, 10, 10), np.float32)
    often.flat[::50], rarely[0, 0, 0] = 5.0, 5.0
    assert figures([(often, expected)])["p99_abs_error"].value == 5.0
    assert figures([(rarely, expected)])["p99_abs_error"].value == 0.0
