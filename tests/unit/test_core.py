"""Names, files, profiles and verdicts."""

import contextlib
import errno
import os
from pathlib import Path

import numpy as np
import pytest

from harness.cli.list_ import Listed
from harness.core.deployment import DeploymentProfile, Limit, read_profile
from harness.core.errors import ConfigError, DataError, HarnessError, UnavailableError, UnknownNameError
from harness.core.files import atomic_folder, canonical_json, read_value, read_yaml, write_atomic
from harness.core.measurement import Measurement, Missing
from harness.core.registry import BACKENDS, ENCODERS, KINDS, Kind
from harness.core.specs import Band
from harness.core.verdict import Status, _judge_limit, worst


def test_an_unknown_name_is_answered_with_near_matches():
    with pytest.raises(UnknownNameError, match="torch_eager") as caught:
        BACKENDS.load("torch_eagre")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", ["quantity", "encoder", "profile", "recipe"])
def test_the_hint_of_an_unknown_name_is_a_command_that_exists(kind):
    verb, _, listed = UnknownNameError(kind, "x", ["y"]).hint.rpartition(" ")
    assert verb == "harness list"
    assert Listed(listed).value == listed


def test_names_are_listed_without_importing_a_framework():
    import subprocess
    import sys

    code = (
        "import sys; from harness.core.registry import KINDS; [kind.names() for kind in KINDS.values()];"
        " assert not {'torch', 'timm', 'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.word)
def test_every_kind_has_plug_ins(kind):
    assert kind.names()


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "plugs").mkdir()
    (tmp_path / "plugs" / "__init__.py").touch()
    (tmp_path / "plugs" / "needy.py").write_text("import torch.no_such_part_of_torch\nPLUG = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnavailableError, match="'torch'") as caught:
        Kind("plug", "plugs", "PLUG").load("needy")
    assert "eo-harness[train]" in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_name_that_is_no_family_has_no_members():
    with pytest.raises(ConfigError, match="no members"):
        ENCODERS.load("unet:big")


def test_a_path_as_a_name_is_only_an_unknown_name():
    with pytest.raises(UnknownNameError):
        ENCODERS.load("../../etc/passwd")


def test_atomic_write_leaves_the_old_file_when_the_new_one_fails(tmp_path):
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with pytest.raises(TypeError):
        write_atomic(path, 5)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path, monkeypatch):
    def no_space(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(HarnessError, match="No space left on device"):
        write_atomic(tmp_path / "a.json", "x")
    assert not list(tmp_path.iterdir())


def on_rename_to(target: Path, monkeypatch, happens) -> None:
    """Let something happen once, right before a folder gets the name."""
    real, waiting = Path.rename, [happens]

    def rename(self, other):
        if Path(other) == target and waiting:
            waiting.pop()()
        return real(self, other)

    monkeypatch.setattr(Path, "rename", rename)


def test_of_two_processes_that_replace_a_folder_at_once_the_last_one_stays(tmp_path, monkeypatch):
    target = tmp_path / "run"
    (target / "old").mkdir(parents=True)
    on_rename_to(target, monkeypatch, lambda: (target / "of another process").mkdir(parents=True))
    for name in ("new", "newest"):
        with atomic_folder(target) as folder:
            (folder / name).mkdir()
        assert [path.name for path in tmp_path.iterdir()] == ["run"]
        assert [path.name for path in target.iterdir()] == [name]


def test_a_folder_that_could_not_be_replaced_is_there_again(tmp_path, monkeypatch):
    def refuse():
        raise OSError(errno.EACCES, "not allowed")

    target = tmp_path / "run"
    (target / "old").mkdir(parents=True)
    on_rename_to(target, monkeypatch, refuse)
    with pytest.raises(HarnessError, match="cannot write"), atomic_folder(target):
        pass
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["run", "run/old"]


@pytest.mark.parametrize("named", [".", "..", "../run"])
def test_the_folder_that_one_stands_in_is_not_replaced(tmp_path, monkeypatch, named):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    with pytest.raises(ConfigError, match="is where you are"), atomic_folder(Path(named)):
        pass
    with atomic_folder(Path("new")) as folder:
        (folder / "weights").write_text("trained")
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["run", "run/new", "run/new/weights"]


def test_a_folder_that_fails_half_way_vanishes_and_the_old_one_stays(tmp_path):
    target = tmp_path / "out"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("1")
    with contextlib.suppress(DataError), atomic_folder(target) as folder:
        (folder / "a").write_text("2")
        raise DataError("stop")
    assert (target / "a").read_text() == "1"
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_a_path_below_a_file_can_not_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match="cannot write"):
        write_atomic(tmp_path / "file" / "a.json", "x")


def test_canonical_json_is_the_same_for_equal_values():
    assert canonical_json({"b": 1, "a": [1.0, "é"]}) == '{"a":[1.0,"é"],"b":1}'


def test_a_value_file_with_an_unknown_key_is_refused_by_name(tmp_path):
    (tmp_path / "band.json").write_text('{"name": "B4", "wavelength": 0.6}')
    with pytest.raises(DataError, match=r"band\.json.*unknown key 'wavelength'"):
        read_value(tmp_path / "band.json", Band, DataError)


@pytest.mark.parametrize("name", ["cpu-default", "ci"])
def test_shipped_profiles_are_valid_and_named_as_their_file(name):
    assert read_profile(name).name == name


def profile_file(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema: 1\nname: p\npurpose: x\nbatch: 4\n", "unknown key 'batch'"),
        ("schema: 1\nname: p\npurpose: x\nsampling: {min_rnus: 5}\n", "unknown key 'sampling.min_rnus'"),
        ("schema: 2\nname: p\npurpose: x\n", "schema"),
        ("schema: 1\nname: p\npurpose: x\nbudget: [{quantity: latncy, max: 1}]\n", "latency"),
        ("schema: 1\nname: p\npurpose: x\nbudget: [{quantity: latency}]\n", "either max or min"),
        ("schema: 1\nname: p\n  purpose: x\n", "not valid YAML"),
        ("- 1\n", "dictionary"),
        ("!!python/object/apply:os.system ['echo broken']\n", "not valid YAML"),
    ],
)
def test_a_bad_profile_is_one_error_that_names_the_file_and_the_key(tmp_path, text, said):
    path = profile_file(tmp_path, text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_yaml(path, DeploymentProfile)
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 2


def test_the_hash_of_a_profile_changes_with_what_it_says():
    profile = read_profile("cpu-default")
    assert profile.sha256 == read_profile("cpu-default").sha256
    assert profile.model_copy(update={"max_tiles": 3}).sha256 != profile.sha256


LIMIT = Limit(quantity="latency", statistic="p95", max=0.1)


def status(samples, limit=LIMIT):
    return _judge_limit(limit, Measurement(quantity="latency", samples=samples)).status


def test_a_limit_is_judged_by_the_interval():
    assert status((0.01,) * 100) is Status.PASS
    assert status((0.2,) * 100) is Status.FAIL
    assert status((0.05,) * 85 + (0.2,) * 15) is Status.FAIL
    assert status((0.05,) * 95 + (0.2,) * 5) is Status.UNKNOWN


def test_a_limit_on_the_mean_is_judged_by_its_interval():
    samples = tuple(np.random.default_rng(0).normal(0.1, 0.01, 400))

    def judged(most: float, *, taken: tuple[float, ...] = samples) -> Status:
        return _judge_limit(Limit(quantity="latency", statistic="mean", max=most), Measurement(quantity="latency", samples=taken)).status

    assert [judged(most) for most in (0.097, 0.1001, 0.103)] == [Status.FAIL, Status.UNKNOWN, Status.PASS]
    assert judged(1.0, taken=samples[:9]) is Status.UNKNOWN


def test_a_figure_without_an_interval_is_not_said_to_have_one():
    verdict = _judge_limit(Limit(quantity="artifact_size", max=10), Measurement(quantity="artifact_size", samples=(9.0,)))
    assert (verdict.status, verdict.why) == (Status.PASS, "the figure, which has no interval, is within the limit")


def test_too_few_samples_or_no_measurement_is_unknown_never_pass():
    assert status((0.01,) * 71) is Status.UNKNOWN
    missing = Missing(quantity="latency", why="failed", reason="timed out")
    assert _judge_limit(LIMIT, missing).status is Status.UNKNOWN
    assert worst([Status.PASS, Status.UNKNOWN]) is Status.UNKNOWN
    assert worst([Status.PASS, Status.UNKNOWN, Status.FAIL]) is Status.FAIL
    assert worst([]) is Status.UNKNOWN
