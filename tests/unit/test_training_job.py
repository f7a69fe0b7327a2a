"""Which folder a training may write to, and which stopped run it may go on with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import ConfigError, HarnessError
from harness.core.leftovers import RETIRED, marked
from harness.training.job import Job, alone_in, work_folder
from harness.training.recipe import Recipe


def job(**changes):
    given = {"model": "unet+unet", "dataset": "synthetic", "version": "1", "data": "ab", "regime": "scratch", "recipe": Recipe()}
    more = {"seed": 0, "label_fraction": 1.0, "tile": 64, "input_size": 64, "weights": None, "devices": 1}
    return Job(**{**given, **more, **changes})


def test_the_same_training_goes_on(tmp_path):
    work = work_folder(tmp_path / "run", job())
    (work / "last.ckpt").write_text("state")
    assert work_folder(tmp_path / "run", job()) == work
    assert (work / "last.ckpt").read_text() == "state"


@pytest.mark.parametrize(
    ("change", "said"), [({"seed": 1}, "seed 0 -> 1"), ({"recipe": Recipe(lr=0.5)}, r"recipe.lr 0.001 -> 0.5"), ({"data": "cd"}, "data ab -> cd")]
)
def test_other_settings_are_refused_by_name(tmp_path, change, said):
    work_folder(tmp_path / "run", job())
    with pytest.raises(ConfigError, match=said):
        work_folder(tmp_path / "run", job(**change))


def test_a_folder_of_other_files_is_not_replaced(tmp_path):
    (tmp_path / "holiday.jpg").write_text("photo")
    with pytest.raises(ConfigError, match="no checkpoint"):
        work_folder(tmp_path, job())


def test_a_training_into_the_folder_that_one_stands_in_is_refused_before_it_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="is where you are"):
        work_folder(Path(), job())
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_replaced(tmp_path):
    (tmp_path / "run").write_text("file")
    with pytest.raises(ConfigError, match="is a file"):
        work_folder(tmp_path / "run", job())


def test_a_folder_that_can_not_be_made_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(HarnessError, match="cannot write"):
        work_folder(tmp_path / "file" / "run", job())


def test_settings_that_are_not_readable_are_an_error(tmp_path):
    (work_folder(tmp_path / "run", job()) / "job.json").write_text("{")
    with pytest.raises(ConfigError, match=r"job\.json"):
        work_folder(tmp_path / "run", job())


def test_a_second_training_into_the_same_folder_is_refused(tmp_path):
    work = work_folder(tmp_path / "run", job())
    with alone_in(work), pytest.raises(ConfigError, match="another training is at work"), alone_in(work):
        pass
    with alone_in(work):
        pass


def test_a_process_for_a_further_device_shares_the_folder(tmp_path, monkeypatch):
    work = work_folder(tmp_path / "run", job())
    with alone_in(work):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with alone_in(work):
            pass


def test_a_training_that_was_killed_while_its_checkpoint_took_its_place_goes_on(tmp_path):
    (work_folder(tmp_path / "run", job()) / "last.ckpt").write_text("the last epoch")
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    mark = marked(f".run{RETIRED}").replace(f"-{os.getpid()}-", f"-{killed.pid}-")
    (tmp_path / "run").rename(tmp_path / mark)
    assert (work_folder(tmp_path / "run", job()) / "last.ckpt").read_text() == "the last epoch"
