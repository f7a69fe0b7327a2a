"""What the verbs print for people and for programs, where the corridor's own test does not look."""

import json

import pytest
import timm
from safetensors.torch import save_file

from harness.cli.main import run
from harness.core.errors import CheckpointError
from harness.core.registry import KINDS


def printed(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert run(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", [*KINDS, "profiles", "recipes", "quantities"])
def test_every_kind_is_listed_with_a_description_each(kind, capsys):
    rows = json.loads(printed(capsys, "list", kind, "--json"))
    assert rows
    assert all(row["name"] and row["description"] for row in rows)


@pytest.mark.parametrize(
    ("kind", "name", "facts"),
    [
        ("encoders", "vit", {"divisor": 16, "input_size": 224, "options": {"reference_bugs": False}}),
        ("encoders", "timm:resnet18", {"divisor": 32, "pyramid": True}),
        ("decoders", "upernet", {"options": {"width": 512, "dropout": 0.1}}),
        ("datasets", "bluemarble_ice", {"classes": ["other", "ice"], "tile": 128}),
        ("backends", "onnxruntime", {"formats": ["onnx"]}),
        ("profiles", "ci", {"split": "test"}),
        ("recipes", "quick", {"name": "quick"}),
        ("quantities", "latency", {"unit": "s"}),
    ],
)
def test_the_facts_of_one(kind, name, facts, capsys):
    found = json.loads(printed(capsys, "list", kind, name, "--json"))
    assert {key: found[key] for key in facts} == facts


def test_facts_for_people_are_a_line_each(capsys):
    lines = printed(capsys, "list", "encoders", "vit").splitlines()
    assert any(line.split() == ["divisor", "16"] for line in lines)


def test_a_set_is_shown_with_its_splits_side_by_side(tmp_path, capsys):
    printed(capsys, "data", "prepare", "synthetic", "--root", str(tmp_path))
    lines = printed(capsys, "data", "show", "synthetic", "--root", str(tmp_path), "--out", str(tmp_path / "sheet.png")).splitlines()
    words = [line.split() for line in lines]
    assert ["split", "train", "val", "test"] in words
    assert ["tiles", "48", "12", "12"] in words
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    shown = json.loads(printed(capsys, "data", "show", "synthetic", "--root", str(tmp_path), "--out", str(tmp_path / "sheet.png"), "--json"))
    assert shown["splits"]["test"]["tiles"] == 12


def test_the_next_command_reads_the_same_folder(tmp_path, capsys):
    root = tmp_path / "my data"
    assert run(["data", "prepare", "synthetic", "--root", str(root)]) == 0
    assert f"next: harness data show synthetic --root '{root}'\n" in capsys.readouterr().err


def test_a_checkpoint_of_other_data_is_not_taken_for_this_one(tmp_path, capsys):
    for name in ("synthetic", "mars_craters"):
        printed(capsys, "data", "prepare", name, "--root", str(tmp_path / "data"))
    arguments = ["--root", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--recipe", "quick", "--epochs", "1"]
    printed(capsys, "train", "timm:resnet10t+linear", "--data", "synthetic", *arguments)
    assert run(["train", "timm:resnet10t+linear", "--data", "mars_craters", *arguments]) == 2
    assert "checkpoint of another data: synthetic 1, asked for mars_craters 1" in capsys.readouterr().err


def test_a_checkpoint_of_other_weights_or_another_size_is_not_taken_for_this_one(tmp_path, capsys):
    printed(capsys, "data", "prepare", "synthetic", "--root", str(tmp_path / "data"))
    where = ("--data", "synthetic", "--root", str(tmp_path / "data"), "--recipe", "quick", "--epochs", "1", "--regime", "finetune")
    command = ("train", "timm:test_efficientnet+linear", *where)
    weights = tmp_path / "published.safetensors"
    save_file({name: tensor.clone() for name, tensor in timm.create_model("test_efficientnet", in_chans=4, num_classes=0).state_dict().items()}, weights)
    started = (*command, "--weights", str(weights), "--input-size", "32", "--out", str(tmp_path / "run"))
    printed(capsys, *started)
    assert run(list(started)) == 0
    assert "with the same settings" in capsys.readouterr().err
    for change, said in (
        (("--input-size", "32"), "another weights"),
        (("--input-size", "32", "--weights", "no.pth"), "asked for no.pth"),
        (("--weights", str(weights)), "another input_size: 32, asked for 64"),
    ):
        assert run([*command, *change, "--out", str(tmp_path / "run")]) == 2
        assert said in capsys.readouterr().err


def test_names_from_a_file_do_not_steer_the_terminal(monkeypatch, capsys):
    def refused(*_, **__):
        raise CheckpointError("extra 1: \x1b[2J\x07weight", "look at it")

    monkeypatch.setattr("harness.stages.prepare_data", refused)
    assert run(["data", "prepare", "synthetic"]) == 4
    assert "error: extra 1: \\x1b[2J\\x07weight\n  try: look at it\n" in capsys.readouterr().err


def test_ctrl_c_is_said_and_has_its_exit_code(monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.stages.prepare_data", stopped)
    assert run(["data", "prepare", "synthetic"]) == 130
    assert "stopped" in capsys.readouterr().err


def test_a_file_that_is_no_weights_file_is_one_error(tmp_path, capsys):
    printed(capsys, "data", "prepare", "synthetic", "--root", str(tmp_path / "data"))
    given = tmp_path / "weights.pth"
    given.write_text("root:x:0:0:root:/root:/bin/sh\n" * 40)
    arguments = ["--data", "synthetic", "--root", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--regime", "finetune"]
    assert run(["train", "timm:resnet10t+linear", *arguments, "--weights", str(given)]) == 4
    assert str(given) in capsys.readouterr().err
