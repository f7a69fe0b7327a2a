"""Reading weights files without running them, and the account of every tensor."""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from harness.core.errors import CheckpointError
from harness.support.positions import sincos_2d, with_bias_table, with_positions
from harness.support.weights import Weights, misfits, read_weights
from harness.support.weights_file import write_tensors


class Bomb:
    """Unpickling it makes a folder: the harmless stand-in for any command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


def weights(**tensors: torch.Tensor) -> Weights:
    return Weights("file.pth", tensors)


def test_nested_files_give_dotted_names(tmp_path: Path) -> None:
    content = {"model": {"a.weight": torch.ones(2)}, "optimizer": {"state": [{"step": torch.zeros(1)}]}, "epoch": 7, "args": argparse.Namespace(lr=0.1)}
    torch.save(content, tmp_path / "w.pth")
    assert sorted(read_weights(tmp_path / "w.pth").tensors) == ["model.a.weight", "optimizer.state.0.step"]


def test_safetensors_and_the_old_torch_format_are_read(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors")
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert all(torch.equal(read_weights(tmp_path / name).tensors["a"], torch.ones(2)) for name in ("w.safetensors", "w.pth"))


def test_settings_of_swin_scripts_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("yacs.config")
    node = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module.CfgNode = node  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    config = node(lr=0.1)
    config.__dict__["__immutable__"] = True
    torch.save({"model": {"a": torch.ones(2)}, "config": config}, tmp_path / "w.pth")
    monkeypatch.undo()
    assert list(read_weights(tmp_path / "w.pth").tensors) == ["model.a"]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_runs_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    folder = tmp_path / "made-by-the-file"
    torch.save({"model": {"a": torch.ones(2)}, "x": Bomb(folder)}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"holds more than tensors and was not read: it asks for posix\.mkdir"):
        read_weights(tmp_path / "w.pth")
    assert not folder.exists()


def test_a_bare_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "made-by-the-file"
    (tmp_path / "w.pt").write_bytes(pickle.dumps(Bomb(folder)))
    with pytest.raises(CheckpointError, match=r"w\.pt"):
        read_weights(tmp_path / "w.pt")
    assert not folder.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_absent_truncated_and_foreign_files_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(CheckpointError, match=rf"{name} does not exist"):
        read_weights(path)
    (save_file if path.suffix == ".safetensors" else torch.save)({"a": torch.ones(999)}, path)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"not a weights file at all"):
        path.write_bytes(broken)
        with pytest.raises(CheckpointError, match=name):
            read_weights(path)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds no tensor"):
        read_weights(tmp_path / "w.pth")


def test_two_tensors_of_one_dotted_name_are_an_error_since_one_would_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "twice.pth"
    torch.save({"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1), "c": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match=r"twice\.pth names the same tensor twice: a\.b"):
        read_weights(path)


def test_a_file_that_holds_itself_is_an_error(tmp_path: Path) -> None:
    content: dict[str, Any] = {"weight": torch.zeros(1)}
    content["self"] = content
    torch.save(content, tmp_path / "loop.pth")
    with pytest.raises(CheckpointError, match=r"loop\.pth holds a container within itself"):
        read_weights(tmp_path / "loop.pth")


def test_written_tensors_are_readable_by_others_and_a_full_disk_is_an_os_error(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"a": torch.arange(6.0).reshape(2, 3).T})
    assert path.stat().st_mode & 0o777 == 0o644
    assert torch.equal(load_file(path)["a"], torch.arange(6.0).reshape(2, 3).T)
    with pytest.raises(OSError, match="No such file"):
        write_tensors(tmp_path / "absent" / "weights.safetensors", {"a": torch.zeros(1)})


def test_inside_drops_the_rest_and_leaves_bare_files_alone() -> None:
    nested = Weights("f", {"model.a": torch.ones(1), "optimizer.b": torch.ones(1)}).inside("model")
    assert (list(nested.tensors), nested.dropped) == (["a"], {"not under 'model.'": ("optimizer.b",)})
    assert list(weights(a=torch.ones(1)).inside("model").tensors) == ["a"]


def test_two_names_that_become_one_are_an_error() -> None:
    with pytest.raises(CheckpointError, match="the same tensor twice: b"):
        Weights("f", {"x.b": torch.ones(1), "b": torch.ones(1)}).renamed(r"x\.", "")


def test_the_report_accounts_for_every_tensor() -> None:
    module = nn.Linear(3, 2)
    given = weights(weight=torch.full((2, 6), 2.0), head=torch.ones(1))
    given = given.without("head", "classifier").with_shape("weight", (2, 3), "halved", lambda old: old[:, :3])
    report = given.loaded_into(module, kept={"bias": "not published"})
    assert report == {"used": 1, "dropped": {"classifier": ["head"]}, "adapted": {"weight": "halved, (2, 6) to (2, 3)"}, "kept": {"not published": ["bias"]}}
    assert torch.equal(module.weight, torch.full((2, 3), 2.0))


def test_every_tensor_that_does_not_fit_is_listed_and_nothing_is_loaded() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    given = Weights("odd.pth", {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(5), "1.weight": torch.ones(1, 2), "z": torch.ones(1)})
    with pytest.raises(CheckpointError) as caught:
        given.loaded_into(module)
    assert "missing 1: 1.bias; extra 1: z; of another shape 1: 0.bias (5,) instead of (2,)" in caught.value.message
    assert "odd.pth" in caught.value.message
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_misfits_of_equals_are_none() -> None:
    assert misfits({"a": torch.ones(2)}, {"a": torch.zeros(2)}) == []


def test_fixed_positions_are_those_of_masked_autoencoders() -> None:
    table = sincos_2d(8, 3)[0]
    row, column, frequency = 2, 1, torch.tensor([1.0, 10000**-0.5])
    wanted = torch.cat([(column * frequency).sin(), (column * frequency).cos(), (row * frequency).sin(), (row * frequency).cos()])
    assert torch.equal(table[0], torch.zeros(8))
    assert torch.allclose(table[1 + row * 3 + column], wanted)


class Positions(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(shape))


def test_positions_are_interpolated_smoothly_and_the_class_token_is_kept() -> None:
    ramp = torch.arange(6.0).repeat_interleave(6)[:, None]
    given = Weights("f", {"table": torch.cat([torch.tensor([[99.0]]), ramp])[None]})
    module = Positions(1, 1 + 144, 1)
    report = with_positions(given, "table", module).loaded_into(module)
    rows = module.table[0, 1:, 0].reshape(12, 12)
    assert module.table[0, 0, 0] == 99
    assert torch.allclose(rows, rows[:, :1])
    assert (rows[1:, 0] > rows[:-1, 0]).all()
    assert report["adapted"] == {"table": "interpolated to the input size, (1, 37, 1) to (1, 145, 1)"}


def test_bias_tables_are_interpolated_and_their_middle_stays() -> None:
    given = Weights("f", {"table": torch.cat([torch.arange(25.0)[:, None], torch.tensor([[70.0], [71.0], [72.0]])])})
    module = Positions(9 * 9 + 3, 1)
    with_bias_table(given, "table", module, extra=3).loaded_into(module)
    assert module.table[40, 0] == 12
    assert module.table[-3:, 0].tolist() == [70, 71, 72]


@pytest.mark.parametrize("shape", [(1, 7, 4), (1, 10, 5), (10, 4)])
def test_what_is_no_embedding_is_reported_not_interpolated(shape: tuple[int, ...]) -> None:
    module = Positions(1, 1 + 16, 4)
    with pytest.raises(CheckpointError, match=r"table .* instead of \(1, 17, 4\)"):
        with_positions(Weights("f", {"table": torch.zeros(shape)}), "table", module).loaded_into(module)
