"""docs/zoo.md is made of docs/zoo.json, and both fit the registry: all 16 models, their facts, and how they export."""

from __future__ import annotations

import json

import pytest

from harness.support.cryo_bench import published
from tests.zoo_check import __main__ as program
from tests.zoo_check.models import facts_of, zoo
from tests.zoo_check.page import page

FOUND = json.loads(program.DATA.read_text())
ROWS = {row["model"]: row for row in FOUND["models"]}
#: Built in a second on the meta device, without terratorch.
CHEAP = ("unet+unet", "vit+upernet", "remoteclip+upernet", "ramen+upernet", "gfm_swin+upernet", "spectralgpt+upernet")


def test_the_page_is_made_of_the_data():
    assert program.PAGE.read_text() == page(FOUND)


def test_all_models_of_the_paper_are_listed_in_its_order():
    assert list(ROWS) == list(zoo()) == list(published())
    assert all(f"| {name} |" in program.PAGE.read_text() for name in zoo())


@pytest.mark.parametrize("name", zoo())
def test_what_a_plug_in_says_is_what_the_page_says(name):
    from harness.core.specs import names_of
    from harness.support.model import specs_of

    model, row, spec = zoo()[name], ROWS[name], specs_of(name)[0]
    wanted = (spec.license, spec.source, list(names_of(model.bands)), model.size, model.note)
    assert tuple(row[key] for key in ("license", "source", "bands", "size", "note")) == wanted


@pytest.mark.parametrize("name", CHEAP)
def test_parameters_and_multiply_adds_are_the_codes(name):
    facts = facts_of(zoo()[name])
    assert {key: ROWS[name][key] for key in facts} == facts


@pytest.mark.parametrize("name", zoo())
def test_every_model_exports_and_says_what_became_of_its_plan(name):
    export, plan = ROWS[name]["export"], ROWS[name]["plan"]
    assert export["ok"]
    assert sorted(export["parity"]) == ["1", "3"]
    assert max(export["parity"].values()) <= 1e-4
    assert export["spread"] > 1e-3
    assert plan["status"] == "built" or (plan["status"] in ("parsed", "failed", "skipped") and plan["reason"])


def test_a_finished_model_is_kept_and_a_failed_one_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "KEPT", tmp_path)
    good = {"export": {"ok": True}, "plan": {"status": "built"}}
    bad = {"export": {"ok": True}, "plan": {"status": "parsed"}}
    for name, row in (("good", good), ("bad", bad)):
        (tmp_path / f"{name}.json").write_text(json.dumps(row))
    assert [program._kept(name) for name in ("good", "bad", "absent")] == [good, None, None]
