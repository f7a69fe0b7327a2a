"""One cell in its own process on the fake runtime: what is recorded when it works, fails, crashes, hangs or is killed."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.core.artifact import artifact_from_checkpoint
from harness.core.deployment import PROBES, DeploymentProfile, Runtime, Sampling
from harness.core.errors import HarnessError, MeasurementError
from harness.core.measurement import Measurement, Missing
from harness.core.registry import DATASETS
from harness.profiling.disturbance import Reading
from harness.profiling.job import Job
from harness.profiling.plan import CellPlan, job_of
from harness.profiling.run import record_of
from harness.profiling.subject import OpenSubject
from tests.builders import fake_checkpoint

FAST = {"warmup_runs": 2, "warmup_seconds": 0.0, "min_runs": 8, "min_seconds": 0.0, "max_seconds": 2.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    DATASETS.load("synthetic").prepare(folder, lambda done, total, what: None)
    return folder


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Path:
    return fake_checkpoint(tmp_path_factory.mktemp("checkpoint"), DATASETS.load("synthetic"))


def job(subject: Path, data: Path, work: Path, *, fail="", isolate=True, probes=PROBES, timeout=60.0, **profile) -> Job:
    settings = DeploymentProfile(
        schema=1,
        name="test",
        purpose="tests",
        runtime=Runtime(backend="fake", options={"fail": fail} if fail else {}),
        sampling=Sampling(**FAST, isolate=isolate, timeout_seconds=timeout),
        probes=tuple(probe for probe in probes if probe != "flops"),
        **profile,
    )
    return Job(folder=subject, backend="fake", device="cpu", threads=1, profile=settings, dataset="synthetic", data_root=data, work=work)


def record(one: Job):
    return record_of(one, artifact_from_checkpoint(one.folder), command="harness profile")


def test_what_another_process_replaced_meanwhile_is_not_measured_in_its_name(data, tmp_path):
    folder = fake_checkpoint(tmp_path / "model", DATASETS.load("synthetic"))
    plan = CellPlan(folder, artifact_from_checkpoint(folder), "fake")
    asked = job(folder, data, tmp_path / "w", isolate=False)
    planned = job_of(plan, asked.profile, 1, asked.dataset, asked.data_root, asked.work)
    fake_checkpoint(folder, DATASETS.load("synthetic"), b"trained again")
    done = record_of(planned, plan.artifact)
    assert "was replaced since this run began" in done.detail["failed"]
    assert not any(isinstance(outcome, Measurement) for outcome in done.outcomes)


def test_what_an_earlier_process_answered_in_the_same_folder_is_not_the_answer_of_one_that_died(subject, data, tmp_path):
    """Two artifacts of the same bytes share a folder."""
    assert record(job(subject, data, tmp_path / "w", probes=("size",))).measured("artifact_size")
    died = record(job(subject, data, tmp_path / "w", probes=("latency", "size"), fail="SIGKILL"))
    assert not any(isinstance(outcome, Measurement) for outcome in died.outcomes)


def test_a_cell_that_works_measures_what_it_was_asked_for(subject, data, tmp_path):
    done = record(job(subject, data, tmp_path / "w"))
    for name in (
        "latency",
        "throughput",
        "end_to_end_latency",
        "first_call",
        "load_time",
        "import_memory",
        "load_memory",
        "peak_host_memory",
        "miou",
        "artifact_size",
    ):
        assert isinstance(done.outcome(name), Measurement), done.outcome(name)
    assert len(done.measured("latency").samples) >= 8
    assert done.measured("miou").detail["tiles"] == 12
    assert set(done.measured("miou").detail["baselines"]) == {"majority", "nearest_color"}
    assert done.measured("latency").detail["inputs"] == "tiles of synthetic"
    assert isinstance(done.outcome("argmax_agreement"), Missing)
    assert done.cell.threads == 1
    assert done.detail["facts"] == {"fake": True}


def test_memory_phases_are_of_the_size_of_a_python_process(subject, data, tmp_path):
    done = record(job(subject, data, tmp_path / "w", probes=("memory",)))
    imported, ran = done.measured("import_memory").value, done.measured("peak_host_memory").value
    assert 15e6 < imported < 300e6
    assert 15e6 < ran < 300e6
    assert "VmHWM" in done.measured("peak_host_memory").detail["source"]


def test_the_peak_holds_one_batch_however_many_are_timed(subject, data, tmp_path, monkeypatch):
    """A batch of 400 tiles of 4 x 64 x 64 float32 is 26.2 MB; the logits of the fake runtime are made only when they are fetched."""

    def peak(size: int, batches: int) -> float:
        monkeypatch.setattr("harness.profiling.run.EXAMPLE_BATCHES", batches)
        one = job(subject, data, tmp_path / f"{size}-{batches}", probes=("latency", "memory"), input={"batch": size}).model_copy(update={"dataset": None})
        return record(one).measured("peak_host_memory").value

    alone, among_four = peak(400, 1), peak(400, 4)
    assert among_four == pytest.approx(alone, abs=2e6)
    assert among_four - peak(1, 4) == pytest.approx(399 * 4 * 64 * 64 * 4, abs=2e6)


def test_the_peak_holds_no_samples_of_another_probe(subject, data, tmp_path):
    """Some ten thousand timed calls of the fake runtime, which returns at once, leave several MB of samples behind."""

    def peak(*probes: str) -> float:
        many = job(subject, data, tmp_path / "-".join(probes), probes=probes)
        longer = many.profile.sampling.model_copy(update={"min_runs": 50_000})
        return record(many.model_copy(update={"profile": many.profile.model_copy(update={"sampling": longer})})).measured("peak_host_memory").value

    assert peak("latency", "memory") == pytest.approx(peak("memory"), abs=2e6)


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        ("error", "told to fail"),
        ("memory", "out of memory"),
        ("SIGSEGV", "crashed with SIGSEGV"),
        ("SIGKILL", "killed by the system"),
    ],
)
def test_a_failure_becomes_a_row_with_its_reason(subject, data, tmp_path, fail, said):
    done = record(job(subject, data, tmp_path / "w", fail=fail))
    outcome = done.outcome("latency")
    assert isinstance(outcome, Missing)
    assert outcome.why == "failed"
    assert said in outcome.reason


def test_what_was_measured_before_the_crash_is_kept(subject, data, tmp_path):
    done = record(job(subject, data, tmp_path / "w", fail="SIGKILL", probes=("latency", "size")))
    assert isinstance(done.outcome("latency"), Missing)
    survivor = record(job(subject, data, tmp_path / "v", fail="error", probes=("latency", "size")))
    assert isinstance(survivor.outcome("artifact_size"), Measurement)


@pytest.mark.parametrize(("fail", "said"), [("SIGSEGV", "crashed with SIGSEGV"), ("hang", "timed out after 6 s")])
def test_a_runtime_that_can_not_be_closed_has_measured_all_the_same(subject, data, tmp_path, fail, said):
    done = record(job(subject, data, tmp_path / "w", fail=f"at end: {fail}", probes=("latency", "size"), timeout=6.0))
    assert isinstance(done.measured("latency"), Measurement)
    assert isinstance(done.measured("artifact_size"), Measurement)
    assert done.detail["failed"] == ""
    assert [said in warning.message for warning in done.warnings if warning.kind == "ended badly"] == [True]


def test_an_answer_is_that_of_its_own_process(subject, data, tmp_path):
    record(job(subject, data, tmp_path / "w", probes=("latency", "size")))
    again = record(job(subject, data, tmp_path / "w", fail="SIGSEGV", probes=("latency", "size")))
    assert {outcome.reason for outcome in again.outcomes if isinstance(outcome, Missing)} == {"crashed with SIGSEGV"}
    assert not any(isinstance(outcome, Measurement) for outcome in again.outcomes)


def test_a_cell_that_hangs_is_ended_and_says_so(subject, data, tmp_path):
    begin = time.monotonic()
    done = record(job(subject, data, tmp_path / "w", fail="hang", timeout=3.0))
    assert time.monotonic() - begin < 30
    assert "timed out after 3 s" in done.outcome("latency").reason


def test_parity_and_drop_against_reference_logits(subject, data, tmp_path):
    first = job(subject, data, tmp_path / "a", probes=("accuracy",))
    record(first)
    second = job(subject, data, tmp_path / "b").model_copy(update={"reference": first.outputs_folder})
    done = record(second)
    assert done.measured("argmax_agreement").value == 1.0
    assert [done.measured(name).value for name in ("max_abs_error", "mean_abs_error", "p99_abs_error")] == [0.0, 0.0, 0.0]
    assert done.measured("miou_drop").value == 0.0
    for file in first.outputs_folder.iterdir():
        np.save(file, -np.load(file))
    worse = record(job(subject, data, tmp_path / "c").model_copy(update={"reference": first.outputs_folder}))
    assert worse.measured("argmax_agreement").value < 1.0
    assert worse.measured("max_abs_error").value >= worse.measured("p99_abs_error").value > worse.measured("mean_abs_error").value > 0
    worst = worse.measured("argmax_agreement").detail["worst_tiles"]
    assert [entry["agreement"] for entry in worst] == sorted(entry["agreement"] for entry in worst)
    for entry in worst:
        with Image.open(tmp_path / "c" / "pictures" / entry["picture"]) as picture:
            assert picture.size == (4 * 64 + 3 * 4, 64)


def test_a_tile_from_its_file_to_its_classes_is_timed_by_step(subject, data, tmp_path):
    done = record(job(subject, data, tmp_path / "w", probes=("tile",)))
    whole = done.measured("tile_latency")
    assert set(whole.detail["steps"]) == {"read", "normalize", "copy", "run", "fetch", "stitch", "argmax"}
    assert all(seconds >= 0 for seconds in whole.detail["steps"].values())
    assert 0 < sum(whole.detail["steps"].values()) <= max(whole.samples)
    assert (whole.detail["windows"], whole.detail["tile"], whole.detail["normalize"]) == (1, [64, 64], "in the graph")


def test_area_per_second_comes_from_the_ground_sampling_distance(subject, data, tmp_path):
    done = record(job(subject, data, tmp_path / "w", probes=("latency",)))
    pixels, area = done.measured("throughput"), done.measured("area_throughput")
    assert area.value == pytest.approx(pixels.value * 10.0**2 / 1e6)
    assert pixels.detail == {"pixels_per_call": 64 * 64, "pixels_of_input": 64 * 64, "windows_by_tile": {"64x64": 1}}
    assert "on a CPU a call returns when it is done" in done.outcome("pipelined_throughput").reason


def test_what_disturbed_the_machine_while_a_cell_ran_is_a_warning_of_its_record(subject, data, tmp_path, monkeypatch):
    begin = Reading(load=0.5, ticks=(0, 0, 0), own=0.0, periods=(0, 0), gpu_processes=2)
    readings = [begin, begin._replace(load=50.0, ticks=(10_000, 1_000, 300), own=1.0, periods=(100, 10))]
    monkeypatch.setattr("harness.profiling.run.reading", lambda: readings.pop(0))
    done = record(job(subject, data, tmp_path / "w", isolate=False, probes=("size",)))
    assert done.environment.load["load_1min"] == 0.5
    said = {advice.kind: advice.message for advice in done.warnings}
    assert said.keys() == {"busy", "steal", "throttled", "gpu shared"}
    assert ("86 %" in said["busy"], "3 %" in said["steal"], "10 %" in said["throttled"], "2 other" in said["gpu shared"]) == (True,) * 4


@pytest.mark.parametrize(("tile", "windows"), [(160, 9), (32, 1)])
def test_padding_and_overlap_are_no_ground(subject, tmp_path, tile, windows):
    """Windows of 64 px: nine for a tile of 160 px, and one, mostly padding, for a tile of 32 px."""
    DATASETS.load("synthetic").prepare(tmp_path / "tiles", lambda done, total, what: None, tile=tile)
    done = record(job(subject, tmp_path / "tiles", tmp_path / "w", isolate=False, probes=("latency",), input={"batch": 2}))
    detail = done.measured("throughput").detail
    assert detail == {"pixels_per_call": 2 * tile**2 / windows, "pixels_of_input": 2 * 64 * 64, "windows_by_tile": {f"{tile}x{tile}": windows}}
    assert done.measured("throughput").samples[0] * done.measured("latency").samples[0] == pytest.approx(detail["pixels_per_call"])
    assert done.measured("area_throughput").detail["km2_per_call"] == pytest.approx(2 * tile**2 / windows * 1e-4)


def test_a_provider_that_is_not_here_fails_the_cell(subject, data, tmp_path):
    here = job(subject, data, tmp_path / "w", isolate=False, probes=("latency",))
    done = record(here.model_copy(update={"backend": "onnxruntime", "device": "cuda"}))
    assert "CUDAExecutionProvider" in done.outcome("latency").reason


def test_a_killed_run_loses_nothing_finished_and_goes_on_where_it_was(subject, data, tmp_path):
    """SIGKILL of the parent while the second of three cells runs: its child dies too, and --reuse measures only what is missing."""
    steady = {**FAST, "min_seconds": 0.4, "max_seconds": 0.8}
    (tmp_path / "slow.yaml").write_text(
        f"schema: 1\nname: slow\npurpose: tests\nruntime: {{backend: fake, threads: 1}}\nprobes: [latency, size]\nsampling: {json.dumps(steady)}\n"
    )
    arguments = ["profile", str(subject), "--profile", str(tmp_path / "slow.yaml"), "--batches", "1,2,4", "--out", str(tmp_path / "records"), "--json"]
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "synthetic-1").symlink_to(data)
    command = [sys.executable, "-m", "harness", *arguments, "--root", str(tmp_path / "root")]
    (tmp_path / "scratch").mkdir()
    here = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=here)
    first = _first_record(tmp_path / "records")
    child = _child_of(parent.pid)
    parent.kill()
    parent.wait()
    assert _ends(child)
    kept = sorted((tmp_path / "records").rglob("*.json"))
    assert first in kept
    assert list((tmp_path / "scratch").glob("harness-*"))
    again = json.loads(subprocess.run([*command, "--reuse"], check=True, capture_output=True, text=True, env=here).stdout)
    assert not list((tmp_path / "scratch").glob("harness-*"))
    assert again[0]["new"] is False
    assert again[0]["path"] == str(first)
    assert any(row["new"] for row in again)
    assert {outcome["quantity"] for row in again for outcome in row["outcomes"] if outcome["kind"] != "measured"} == {"pipelined_throughput"}
    assert set(kept) <= set((tmp_path / "records").rglob("*.json"))


def _first_record(folder: Path) -> Path:
    for _ in range(1200):
        found = sorted(folder.rglob("*.json"))
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError("no record was written")


def _ends(pid: int) -> bool:
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_without_isolation_the_same_is_measured(subject, data, tmp_path):
    done = record(job(subject, data, tmp_path / "w", isolate=False, probes=("latency", "accuracy"), max_tiles=4))
    assert done.measured("miou").detail["tiles"] == 4


def test_a_split_smaller_than_a_batch_is_a_failed_row(subject, data, tmp_path):
    one = job(subject, data, tmp_path / "w", input={"batch": 500})
    assert "has 12 tiles" in record(one).outcome("latency").reason


@pytest.mark.parametrize("root", ["data", "nowhere"])
def test_an_input_that_memory_can_not_hold_is_a_failed_row_before_it_is_made(subject, data, tmp_path, root):
    folder = shutil.copytree(subject, tmp_path / "model")
    facts = json.loads((folder / "checkpoint.json").read_text())
    (folder / "checkpoint.json").write_text(json.dumps({**facts, "input_size": 1_000_000}))
    asked = job(folder, data, tmp_path / "w")
    done = record(asked if root == "data" else asked.model_copy(update={"dataset": None, "data_root": None}))
    assert "one batch of inputs takes 16,000.0 GB" in done.outcome("latency").reason


def test_a_full_disk_is_one_error(subject, data, tmp_path, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(HarnessError, match="No space left on device") as caught:
        record(job(subject, data, tmp_path / "w"))
    assert "TMPDIR" in caught.value.hint


def test_a_timed_logit_that_differs_from_the_scored_one_fails_the_accuracy(subject, data, tmp_path):
    from harness.profiling.subject import opened

    one = job(subject, data, tmp_path / "w", isolate=False)
    one.work.mkdir()
    with opened(one) as open_subject:
        open_subject.timed = (0, np.zeros((1, 3, 64, 64), np.float32))
        with pytest.raises(MeasurementError, match="timed call computed something else"):
            list(open_subject.predictions())


@contextlib.contextmanager
def opened_after_timing(subject, one: Job) -> Iterator[tuple[OpenSubject, np.ndarray]]:
    """The job's subject, of whose examples the third batch was timed, and what that call gave."""
    from harness.profiling.run import write_examples
    from harness.profiling.subject import opened

    one.work.mkdir()
    write_examples(one, artifact_from_checkpoint(subject))
    with opened(one) as open_subject:
        open_subject.session.bind(open_subject.examples()[2])
        right = open_subject.session.outputs()[0]
        open_subject.keep_timed(2, right)
        yield open_subject, right


def test_a_timed_logit_is_compared_where_tiles_are_windowed_too(subject, larger, tmp_path):
    one = job(subject, larger, tmp_path / "w", isolate=False)
    with opened_after_timing(subject, one) as (open_subject, right):
        assert len(list(open_subject.predictions())) == 12
        open_subject.keep_timed(1, right)
        shutil.rmtree(one.outputs_folder)
        with pytest.raises(MeasurementError, match="timed call computed something else"):
            list(open_subject.predictions())


@pytest.mark.parametrize(("tiles", "block", "parts"), [(2, 1024, 2), (12, 32, 48)])
def test_a_timed_logit_is_compared_where_it_is_none_of_the_scored_ones(subject, data, tmp_path, monkeypatch, tiles, block, parts):
    """The third of four batches was timed, and only two tiles are scored, or blocks smaller than a tile."""
    monkeypatch.setattr("harness.support.scenes.BLOCK", block)
    one = job(subject, data, tmp_path / "w", isolate=False, max_tiles=tiles)
    with opened_after_timing(subject, one) as (open_subject, right):
        assert len(list(open_subject.predictions())) == parts
        open_subject.keep_timed(2, right + 9.0)
        shutil.rmtree(one.outputs_folder)
        with pytest.raises(MeasurementError, match="timed call computed something else"):
            list(open_subject.predictions())


@pytest.mark.parametrize(("probes", "keep", "kept"), [(("accuracy",), True, True), (("accuracy",), False, False), (("accuracy", "parity"), False, True)])
def test_logits_are_written_only_where_somebody_reads_them(subject, data, tmp_path, probes, keep, kept):
    first = job(subject, data, tmp_path / "a", probes=("accuracy",))
    record(first)
    one = job(subject, data, tmp_path / "b", probes=probes, isolate=False).model_copy(update={"reference": first.outputs_folder, "keep_outputs": keep})
    done = record(one)
    assert done.measured("miou").detail["tiles"] == 12
    assert (one.outputs_folder.is_dir(), one.outputs_folder.with_suffix(".partial").exists()) == (kept, False)


@pytest.fixture(scope="module")
def larger(tmp_path_factory) -> Path:
    """Tiles of 160 px, which take nine windows of 64 px each."""
    folder = tmp_path_factory.mktemp("larger") / "synthetic"
    DATASETS.load("synthetic").prepare(folder, lambda done, total, what: None, tile=160)
    return folder


class Calls:
    """The batches that a session was given."""

    def __init__(self, session) -> None:
        self.batches, self._session = [], session

    def bind(self, inputs):
        self.batches.append(len(inputs[0]))
        self._session.bind(inputs)

    def __getattr__(self, name):
        return getattr(self._session, name)


def scored(one: Job, precision: str = "fp32") -> tuple[list[int], dict[str, np.ndarray]]:
    """The batches of the calls that scored a split, and every tile's logits."""
    from harness.profiling.subject import opened

    one.work.mkdir()
    with opened(one) as open_subject:
        open_subject.session = Calls(open_subject.session)
        open_subject.artifact = open_subject.artifact.model_copy(update={"precision": precision})
        found = {tile.name: logits for tile, logits in open_subject.predictions()}
        again = {tile.name: logits for tile, logits in open_subject.predictions()}
    assert found.keys() == again.keys()
    assert all(np.array_equal(found[name], again[name]) for name in found)
    return open_subject.session.batches, found


def test_windows_of_neighboring_tiles_are_scored_together(subject, larger, tmp_path):
    """12 tiles of 9 windows: 108 windows, 32 at a time."""
    batches, found = scored(job(subject, larger, tmp_path / "w", isolate=False))
    assert batches == [32, 32, 32, 12]
    source = DATASETS.load("synthetic").open(larger, "test")
    assert list(found) == [source[index].name for index in range(len(source))]
    for index in range(len(source)):
        image = source[index].image
        np.testing.assert_allclose(found[source[index].name], np.stack([image[0] - shift for shift in range(3)]), rtol=1e-6, atol=1e-4)


def test_windows_that_are_quantized_together_are_scored_as_they_are_timed(subject, larger, tmp_path):
    one = job(subject, larger, tmp_path / "w", isolate=False, input={"batch": 4}, max_tiles=2)
    assert scored(one, "int8-dynamic")[0] == [4, 4, 4, 4, 2]


def test_tiles_of_the_models_size_are_scored_with_the_batch_that_is_timed(subject, data, tmp_path):
    assert scored(job(subject, data, tmp_path / "w", isolate=False, input={"batch": 5}))[0] == [5, 5, 2]


def test_a_session_that_takes_one_batch_only_is_given_no_other(subject, larger, tmp_path, monkeypatch):
    from harness.backends.fake import Fake

    monkeypatch.setattr(Fake, "is_bound_to_shape", True, raising=False)
    batches, found = scored(job(subject, larger, tmp_path / "w", isolate=False, input={"batch": 5}, max_tiles=2))
    assert batches == [5, 5, 5, 5]
    assert len(found) == 2


def test_a_pass_that_was_given_up_is_done_again_from_the_start(subject, larger, tmp_path):
    from harness.profiling.subject import opened

    one = job(subject, larger, tmp_path / "w", isolate=False)
    one.work.mkdir()
    with opened(one) as open_subject:
        next(iter(open_subject.predictions()))
        assert not one.outputs_folder.exists()
        assert len(list(open_subject.predictions())) == 12
    assert len(list(one.outputs_folder.iterdir())) == 12


def test_an_interrupted_parent_leaves_no_child_behind(subject, data, tmp_path):
    one = job(subject, data, tmp_path / "w", fail="hang", timeout=600.0)
    code = (
        "import signal, sys; from pathlib import Path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell that starts tests in the background has it ignored
        "from harness.profiling.job import Job\nfrom harness.profiling.run import record_of\nfrom harness.core.artifact import artifact_from_checkpoint\n"
        "job = Job.model_validate_json(Path(sys.argv[1]).read_text())\nrecord_of(job, artifact_from_checkpoint(job.folder))\n"
    )
    (tmp_path / "job.json").write_text(one.model_dump_json())
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "job.json")], stderr=subprocess.DEVNULL)
    child = _child_of(parent.pid)
    parent.send_signal(signal.SIGINT)
    parent.wait(timeout=30)
    assert not Path(f"/proc/{child}").exists() or Path(f"/proc/{child}/stat").read_text().split()[2] == "Z"


def _child_of(pid: int) -> int:
    """The measuring process of `pid`, once it has started."""
    for _ in range(600):
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and _parent(folder) == pid and b"profiling.child" in _command(folder):
                time.sleep(1.0)
                return int(folder.name)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("no child started")


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def _command(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("last", ["", "; import time; time.sleep(600)"])
def test_what_a_child_started_ends_with_it(last):
    """A child that is gone, as one that memory ran out for, and one that hangs; each has left a process that would go on computing."""
    from harness.profiling.isolate import end

    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True)" + last
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    started = int(child.stdout.readline())
    if not last:
        child.wait()
    assert Path(f"/proc/{started}").exists()
    end(child)
    assert _ends(started)


def test_a_child_whose_parent_was_gone_before_it_could_ask_the_kernel_ends_at_once():
    code = "from harness.profiling.isolate import end_with_parent\nend_with_parent()\nprint('goes on')"
    orphan = subprocess.run([sys.executable, "-c", code], env={**os.environ, "HARNESS_PARENT": "1"}, check=False, capture_output=True, text=True)
    assert (orphan.returncode, orphan.stdout) == (1, "")
    mine = {**os.environ, "HARNESS_PARENT": str(os.getpid())}
    assert subprocess.run([sys.executable, "-c", code], env=mine, check=True, capture_output=True, text=True).stdout == "goes on\n"
