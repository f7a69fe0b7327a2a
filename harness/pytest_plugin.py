"""The pytest plug-in: `def test_speed(harness_check): harness_check("new/artifacts/onnx-fp32", against="old/artifacts/onnx-fp32")`.

A FAIL fails the test with the table of changes; what is INCONCLUSIVE skips it, or fails it with `--harness-strict`. pytest loads this file
for every test run of a project that has eo-harness installed, so it imports nothing of ours until the fixture is called.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.results.check_result import Checked


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("harness", "regression checks of models")
    group.addoption("--harness-strict", action="store_true", help="fail where harness_check is INCONCLUSIVE, instead of skipping")
    group.addoption("--harness-profile", default="ci", help="profile that harness_check uses where the test names none (default: ci)")
    group.addoption("--harness-max-seconds", type=float, default=120.0, help="seconds for one measurement of latency (default: 120)")


@pytest.fixture
def harness_check(request: pytest.FixtureRequest) -> Callable[..., list[Checked]]:
    """A function (subject, *, against, profile=None, backends=None, data=None, root=None) that gives the checks or ends the test."""

    def check(subject: str | Path, *, against: str | Path, profile: str | None = None, root: str | Path | None = None, **given: Any) -> list[Checked]:
        from harness.core.deployment import read_profile
        from harness.gate import Effort, check_side_by_side
        from harness.results.render_check import lines_of

        option = request.config.getoption
        settings, effort = read_profile(profile or option("--harness-profile")), Effort(max_seconds=option("--harness-max-seconds"))
        checks = check_side_by_side(Path(subject), Path(against), settings, effort=effort, root=Path(root) if root else None, **given)
        outcomes = {str(one.outcome) for one in checks}
        said = "\n".join(line for one in checks for line in lines_of(one))
        if "FAIL" in outcomes or ("INCONCLUSIVE" in outcomes and option("--harness-strict")):
            pytest.fail(said, pytrace=False)
        if "INCONCLUSIVE" in outcomes:
            pytest.skip(said)
        return checks

    return check
