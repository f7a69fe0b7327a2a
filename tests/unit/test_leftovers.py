"""What a killed process leaves is removed by the next run; what a living one, or another machine, is at work on stays."""

import signal
import subprocess
import sys

from harness.core import leftovers
from harness.core.files import atomic_folder, write_atomic
from harness.core.leftovers import marked, sweep

KILLED = """
import os, signal, sys, tempfile
from pathlib import Path
from harness.core.files import atomic_folder
from harness.core.leftovers import marked
folder = Path(sys.argv[1])
(Path(tempfile.mkdtemp(prefix=marked("harness-"), dir=folder)) / "outputs").mkdir()
(folder / marked(".record.json.")).write_text("{")
with atomic_folder(folder / "data") as partial:
    (partial / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_in(folder) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_what_a_killed_process_left_is_removed(tmp_path):
    killed_in(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert len(sweep([tmp_path, tmp_path / "nowhere"])) == 3
    assert list(tmp_path.iterdir()) == []


def test_the_next_write_of_a_folder_removes_it(tmp_path):
    killed_in(tmp_path)
    with atomic_folder(tmp_path / "data") as partial:
        (partial / "whole").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_a_living_process_or_another_machine_is_at_work_on_stays(tmp_path):
    own = tmp_path / marked("harness-")
    own.mkdir()
    other = tmp_path / f"harness-00000000-{dead_process()}-x"
    other.mkdir()
    write_atomic(tmp_path / "harness-notes.txt", "mine")
    assert sweep([tmp_path]) == []
    assert len(list(tmp_path.iterdir())) == 3


def test_a_process_that_is_not_ours_counts_as_living(monkeypatch):
    def refused(process, number):
        raise PermissionError

    monkeypatch.setattr(leftovers.os, "kill", refused)
    assert leftovers._lives(1)


def test_a_folder_put_aside_by_a_process_that_died_gets_its_name_back(tmp_path, monkeypatch):
    gone = dead_process()
    monkeypatch.setattr(leftovers.os, "getpid", lambda: gone)
    aside, half = tmp_path / marked(".data.old-"), tmp_path / marked(".data.")
    monkeypatch.undo()
    aside.mkdir()
    (aside / "index.json").write_text("{}")
    half.mkdir()
    sweep([tmp_path])
    assert (tmp_path / "data" / "index.json").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_folder_put_aside_whose_place_is_taken_is_removed(tmp_path, monkeypatch):
    gone = dead_process()
    monkeypatch.setattr(leftovers.os, "getpid", lambda: gone)
    aside = tmp_path / marked(".data.old-")
    monkeypatch.undo()
    aside.mkdir()
    (tmp_path / "data").mkdir()
    assert sweep([tmp_path]) == [aside]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
