"""`harness doctor` on a terminal of 80 columns: each cell of the matrix runs or refers to a reason, and each reason is said once."""

import json
import platform
import re

import pytest

from harness.cli.main import run


@pytest.fixture(scope="module")
def answer():
    pytest.importorskip("onnxruntime")

    def spoken(capsys, *more: str) -> str:
        assert run(["doctor", *more]) == 0
        return capsys.readouterr().out

    return spoken


def test_every_line_fits_and_every_number_has_its_reason_once(answer, capsys):
    page = answer(capsys)
    assert max(map(len, page.splitlines())) <= 80
    used = set(re.findall(r"no \((\d+)\)", page))
    given = re.findall(r"^\((\d+)\)", page, re.MULTILINE)
    assert used == set(given)
    assert len(given) == len(set(given))
    (cpu,) = [line for line in page.splitlines() if line.startswith("onnxruntime    cpu")]
    fp16 = "no" if platform.machine().lower() in ("x86_64", "amd64") else "runs"
    assert [word for word in cpu.split()[2:] if not word.startswith("(")] == ["runs", fp16, "no", "runs", "runs"]


def test_the_matrix_and_the_providers_are_in_the_json_with_their_reasons(answer, capsys):
    found = json.loads(answer(capsys, "--json"))
    cells = {(cell["backend"], cell["device"], cell["precision"]): cell["reason"] for cell in found["matrix"]}
    assert cells["onnxruntime", "cpu", "fp32"] is None
    assert "bfloat16" in cells["onnxruntime", "cpu", "bf16"]
    providers = {part["device"]: part["reason"] for part in found["parts"] if part["kind"] == "provider"}
    assert providers.keys() == {"tensorrt", "nv_tensorrt_rtx"}
