"""`harness flops` against the reference's recorded figures, in every format, and its page."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.main import run
from harness.core.errors import MeasurementError
from harness.support import counters
from harness.support.cryo_bench import published

ROOT = Path(__file__).parents[2]
ENCODERS = json.loads((ROOT / "tests" / "data" / "zoo" / "encoders.json").read_text())
KEYS = {"model", "input", "params_encoder", "params_total", "gmac_encoder", "gmac_total", "gmac_tile", "gmac_published", "counters"}
#: By hand: 12 layers of 225 tokens and width 1024 that feed no returned feature and are not run; projections, MLP, scores and mixing.
CROMA_SAVED = 12 * (12 * 1024**2 * 225 + 2 * 225**2 * 1024) / 1e9
#: Encoders whose parameters that no feature needs are left out: the final norms and SatlasNet's classifier.
UNUSED = {"gfm_swin": 2 * 1024, "satlasnet": 2 * 1024 + 1025000, "s12_data2vec": 2 * 384 + 384, "croma": 12 * (12 * 1024**2 + 10 * 1024)}


def printed(capsys, *arguments):
    capsys.readouterr()
    assert run(["flops", *arguments]) == 0
    return capsys.readouterr().out


def check(row):
    """One row against the facts of the reference."""
    fact = published()[row["model"]]
    encoder = row["model"].partition("+")[0]
    saved = CROMA_SAVED if encoder == "croma" else 0.0
    assert row.keys() >= KEYS
    assert row["gmac_encoder"] == pytest.approx(ENCODERS[fact.reference]["flops_encoder"] / 2e9 - saved, rel=1e-3)
    assert row["gmac_total"] == pytest.approx(fact.counted_gmac - saved, rel=1e-3)
    assert row["gmac_published"] == fact.gmac
    assert row["gmac_tile"] == pytest.approx(row["gmac_total"] * fact.windows)
    assert row["input"] == [1, fact.bands, fact.size, fact.size]
    if encoder != "s12_dino":  # the reference drops its attention biases
        assert row["params_encoder"] == ENCODERS[fact.reference]["params_encoder"] - UNUSED.get(encoder, 0)
    assert row["params_total"] == pytest.approx(fact.params - UNUSED.get(encoder, 0), rel=1e-3)
    found = row["counters"]
    assert found["agree"] is True
    assert found["missing"] == {}
    assert found["flop_counter"] == row["gmac_total"]
    assert found["exported_graph"] == pytest.approx(row["gmac_total"], rel=1e-9)
    # With attention put back, fvcore differs by norms, pooling and resizing; where it dropped nothing it is the published figure.
    assert row["gmac_total"] < found["fvcore"] < 1.002 * row["gmac_total"]
    if not fact.why or encoder == "croma":
        assert found["fvcore"] == pytest.approx(fact.gmac, abs=6e-4)


def test_models_of_the_paper_have_the_reference_s_figures(capsys):
    rows = json.loads(printed(capsys, "remoteclip", "unet+unet", "croma", "remoteclip+upernet", "--json"))
    assert [row["model"] for row in rows] == ["remoteclip+upernet", "unet+unet", "croma+upernet"]
    for row in rows:
        check(row)
    assert rows[0]["gmac_published"] == 14.024
    assert rows[0]["gmac_total"] == pytest.approx(15.470, abs=5e-4)
    assert "14.024: the fused nn.MultiheadAttention counts as 0" in rows[0]["note"]
    assert rows[1]["note"] == ""
    assert rows[2]["gmac_encoder"] == pytest.approx(35.395, abs=5e-4)
    assert "35.395 instead of 70.613" in rows[2]["note"]


@pytest.mark.slow
def test_all_16_models_by_default_and_the_page_has_them(capsys):
    rows = json.loads(printed(capsys, "--json"))
    assert len(rows) == 16
    for row in rows:
        check(row)
    assert printed(capsys, "--format", "md") in (ROOT / "docs" / "flops.md").read_text()


def test_another_model_at_another_tile_has_nothing_published(capsys):
    row, again = (json.loads(printed(capsys, "unet+unet", "--json", "--tile", str(tile)))[0] for tile in (512, 256))
    assert again["gmac_published"] is None  # the paper's is of 512 px
    assert again["input"] == [1, 3, 256, 256]
    assert again["gmac_tile"] == again["gmac_total"] == pytest.approx(row["gmac_total"] / 4)
    small = json.loads(printed(capsys, "s12_moco+linear", "--json", "--tile", "300"))[0]
    assert (small["gmac_published"], small["windows"]) == (None, 4)
    assert small["gmac_tile"] == 4 * small["gmac_total"]


def test_a_person_sees_encoder_decoder_and_total(capsys):
    lines = [line.split() for line in printed(capsys, "unet").splitlines()]
    assert ["unet+unet", "3x512x512", "14.789", "58.435", "69.558", "127.993", "128.218", "127.993", "yes", "1", "127.993", "128.218"] in lines


def test_tables_for_documents_and_programs(capsys):
    markdown = printed(capsys, "unet", "--format", "md")
    row = next(line for line in markdown.splitlines() if line.startswith("| unet+unet"))
    assert row in (ROOT / "docs" / "flops.md").read_text()
    (found,) = csv.DictReader(io.StringIO(printed(capsys, "unet", "--format", "csv")))
    assert (found["input"], found["gmac_fvcore"][:7], found["agree"]) == ("1x3x512x512", "128.217", "True")


@pytest.mark.parametrize(("name", "code"), [("remoteclipp", 2), ("remoteclip+uper", 2), ("timm:nothing", 2), ("timm", 2)])
def test_an_unknown_model_is_an_error_before_anything_is_counted(name, code, capsys):
    assert run(["flops", "unet", name]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "error: " in said.err


def test_a_counter_that_can_t_count_is_missing_with_its_reason(monkeypatch):
    def refuse(*_):
        raise MeasurementError("no FLOP rule for operator aten.fft_rfft2 (node 'fft')")

    monkeypatch.setattr(counters, "fvcore_macs", refuse)
    count = counters.count_model("unet+linear", tile=64)
    assert count.counters["fvcore"] is None
    assert "aten.fft_rfft2" in count.missing["fvcore"]
    assert count.agree is None
    monkeypatch.setattr(counters, "flops_of_program", lambda program: {"conv2d": 2 * 101 * count.macs // 99})
    assert counters.count_model("unet+linear", tile=64).agree is False
    monkeypatch.setattr(counters, "export_network", refuse)
    assert counters.count_model("unet+linear", tile=64).missing.keys() == {"fvcore", "exported_graph"}


def test_help_has_an_example_and_loads_no_framework():
    code = "import sys\nfrom harness.cli.main import run\nrun(['flops', '--help'])\nassert not {'torch', 'numpy', 'timm'} & set(sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "Example: harness flops" in said
    assert "--json" in said


def test_a_model_of_terratorch_is_built_without_importing_terratorch():
    build = "import sys, torch\nfrom harness.api import build_model\ntorch.set_default_device('meta')\nbuild_model('prithvi+linear')\n"
    subprocess.run([sys.executable, "-W", "ignore", "-c", build + "assert 'terratorch' not in sys.modules"], check=True)
