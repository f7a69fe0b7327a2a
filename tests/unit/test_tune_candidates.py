"""What there is to choose from under a checkpoint: what exists is taken as it is, what is missing is to be made, what can't run is said."""

from pathlib import Path

import pytest

from harness.bundling.make import _checkpoint
from harness.core.artifact import ARTIFACT_FILE, CHECKPOINT_FILE, WEIGHTS_FILE, Artifact, artifacts_in, read_artifact, read_checkpoint
from harness.core.deployment import DeploymentProfile, Runtime
from harness.core.errors import BundleError, ConfigError, UnavailableError
from harness.core.files import sha256_of_file, write_value
from harness.profiling.plan import CellPlan, plan_cells
from harness.support.export_places import known_exports
from harness.tuning import candidates
from harness.tuning.candidates import emulated, milder, runtimes_here, variants_of, wanted_of, ways_of
from tests.builders import checkpoint

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture
def home(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / WEIGHTS_FILE).write_bytes(b"not read")
    write_value(folder / CHECKPOINT_FILE, checkpoint(weights_sha256=sha256_of_file(folder / WEIGHTS_FILE)))
    return folder


def exported(home: Path, name: str, precision: str, *, of: str | None = None, **options) -> Path:
    folder = home / "artifacts" / name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(name.encode())
    facts = read_checkpoint(home)
    value = Artifact(
        format="onnx",
        precision=precision,
        file="model.onnx",
        sha256=sha256_of_file(folder / "model.onnx"),
        size=1,
        inputs=(),
        outputs=(),
        checkpoint=facts,
        checkpoint_sha256=of or facts.sha256,
        options=options,
    )
    write_value(folder / ARTIFACT_FILE, value)
    return folder


def cells(home: Path, *runtimes: str) -> dict[str, str]:
    """Label to the exporter that makes it."""
    return {cell.label: cell.exporter for cell in wanted_of(home, runtimes, "cpu")[0]}


def test_all_that_onnx_can_be_made_in_is_wanted_and_int8_in_both_kinds(home):
    found = cells(home, "onnxruntime")
    assert {"onnxruntime onnx fp32", "onnxruntime onnx int8-dynamic", "onnxruntime onnx int8-static"} <= found.keys()
    assert "onnxruntime onnx int8-static uint8" in found
    assert set(found.values()) == {"onnx"}
    assert not any("bf16" in label for label in found)


def test_what_exists_comes_first_and_is_never_made_again(home):
    exported(home, "onnx-fp32", "fp32")
    exported(home, "mine", "int8-static", activations="uint8")
    found = cells(home, "onnxruntime")
    assert list(found.items())[:2] == [("onnxruntime onnx int8-static", ""), ("onnxruntime onnx fp32", "")]
    assert not any("uint8" in label for label in found)
    assert found["onnxruntime onnx int8-dynamic"] == "onnx"


def test_a_short_budget_reaches_what_promises_most(home):
    made = [label.removeprefix("onnxruntime onnx ") for label in cells(home, "onnxruntime")]
    assert made[:4] == ["fp32", "int8-static", "int8-static uint8", "int8-dynamic"]


def test_an_export_of_other_weights_and_a_broken_one_are_made_again(home):
    exported(home, "onnx-fp32", "fp32", of="other weights")
    (exported(home, "onnx-int8-dynamic", "int8-dynamic") / "model.onnx").write_bytes(b"cut")
    found = cells(home, "onnxruntime")
    assert (found["onnxruntime onnx fp32"], found["onnxruntime onnx int8-dynamic"]) == ("onnx", "onnx")


@pytest.mark.parametrize(("machine", "is_wanted"), [("x86_64", False), ("AMD64", False), ("aarch64", True)])
def test_fp16_is_left_out_where_the_runtime_would_cast_it_to_fp32(machine, is_wanted, home, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: machine)
    wanted, left_out = wanted_of(home, ["onnxruntime"], "cpu")
    assert any(cell.precision == "fp16" for cell in wanted) == is_wanted
    assert any("fp16: unsupported: ONNX Runtime has no fp16 kernels" in words for words in left_out) != is_wanted


@pytest.mark.parametrize(("flags", "is_left_out"), [(("avx2", "fma"), True), (("avx512f", "avx512_bf16"), False), (("asimd", "bf16"), False), ((), False)])
def test_bf16_is_left_out_where_a_processor_would_emulate_it(flags, is_left_out, home, monkeypatch):
    monkeypatch.setattr(candidates, "processor_flags", lambda: flags)
    found, left_out = wanted_of(home, ["torch_export"], "cpu")
    assert any("no bf16 instructions" in line for line in left_out) is is_left_out
    assert any(cell.precision == "bf16" for cell in found) is not is_left_out
    assert not emulated("bf16", "cuda", flags)


def test_an_artifact_folder_restricts_the_search_to_it(home):
    folder = exported(home, "onnx-fp32", "fp32")
    wanted, _ = wanted_of(folder, ["onnxruntime"], "cpu")
    assert [(cell.label, cell.exporter, cell.folder) for cell in wanted] == [("onnxruntime onnx fp32", "", folder.resolve())]


def test_pytorch_runs_the_checkpoint_itself(home):
    pytest.importorskip("torch")
    assert cells(home, "torch_eager") == {"torch_eager checkpoint fp32": ""}


def test_what_no_runtime_takes_is_refused(home):
    folder = exported(home, "onnx-fp32", "fp32")
    with pytest.raises(ConfigError, match="nothing to tune"):
        wanted_of(folder, ["torch_eager"], "cpu")


def test_a_runtime_that_was_named_must_run_here():
    assert runtimes_here(["fake"], "cpu") == (["fake"], [])
    with pytest.raises(UnavailableError, match="no cuda support"):
        runtimes_here(["fake"], "cuda")
    assert any(reason.startswith("tensorrt: no cpu support") for reason in runtimes_here(None, "cpu")[1])


def test_candidates_of_a_cell_and_their_options(home):
    wanted, _ = wanted_of(exported(home, "onnx-fp32", "fp32"), ["onnxruntime"], "cpu")
    ways = ways_of(CellPlan(wanted[0].folder, read_artifact(wanted[0].folder), "onnxruntime"), (1, 2), (1, 4))
    assert [(one.threads, one.batch) for one in ways] == [(2, 1), (2, 4), (1, 1), (1, 4)]
    assert len({one.key for one in ways}) == 4
    others = variants_of(ways[0], "cpu")
    assert {"arena": False} in [dict(one.options) for one in others]
    assert all(len(one.options) == 1 and (one.threads, one.batch) == (2, 1) for one in others)
    assert variants_of(others[0], "cpu") == []
    assert [dict(one.options) for one in variants_of(ways[0], "cuda")] == [{"cuda_graph": True}, {"provider": "tensorrt"}]
    assert others[0].label.endswith("2 threads, batch 1, graph_optimization extended")


def test_a_lower_precision_that_loses_too_much_can_be_made_milder_once(home):
    wanted = {cell.label: cell for cell in wanted_of(home, ["onnxruntime"], "cpu")[0]}
    (other,) = milder(wanted["onnxruntime onnx int8-static uint8"], 0.004)
    assert other.folder.name == "onnx-int8-static-uint8-mixed-0.004"
    assert other.options == {"activations": "uint8", "max_miou_drop": 0.004}
    assert milder(other, 0.004) == []
    assert milder(wanted["onnxruntime onnx fp32"], 0.004) == []


def test_a_milder_one_of_an_artifact_that_is_there_keeps_its_settings_and_another_limit_makes_another(home):
    folder = exported(home, "onnx-int8-static-mixed", "int8-static", activations="uint8", max_miou_drop=0.05, kept_groups=3)
    (cell,) = [cell for cell in wanted_of(home, ["onnxruntime"], "cpu")[0] if cell.folder == folder.resolve()]
    (other,) = milder(cell, 0.004)
    beside = folder.resolve().with_name("onnx-int8-static-mixed-0.004")
    assert (other.folder, other.options) == (beside, {"activations": "uint8", "max_miou_drop": 0.004})
    assert milder(other, 0.001)[0].folder.name == "onnx-int8-static-mixed-0.001"
    assert milder(cell, 0.05) == []


def test_what_a_kill_left_of_an_artifact_that_was_being_replaced_is_no_artifact(home):
    """The old one has a dot before its name while it is removed."""
    folder = exported(home, "onnx-fp32", "fp32")
    left = exported(home, ".onnx-fp32.old-1a2b3c4d-4711-", "fp32")
    (left / "model.onnx").unlink()
    profile = DeploymentProfile(format_version=1, name="p", purpose="tests")
    assert [plan.folder for plan in plan_cells(home, profile, ["onnxruntime"])[0]] == [folder.resolve()]
    assert [place for place, _ in known_exports(home, "onnx", "fp32", apart_from=home)] == [folder]
    assert artifacts_in(home / "artifacts") == [folder]


def test_the_command_that_makes_what_is_missing_can_be_typed(home):
    """It names the checkpoint, also where an artifact was given, and the precision that is asked for."""
    folder = exported(home, "onnx-fp32", "fp32")
    pytest.importorskip("openvino")
    profile = DeploymentProfile(format_version=1, name="p", purpose="tests", runtime=Runtime(format="openvino", precision="int8-static"))
    for subject in (home, folder):
        with pytest.raises(ConfigError, match="has none") as caught:
            plan_cells(subject, profile, ["openvino"])
        assert caught.value.hint == f"harness export {home} --to openvino --precision int8-static"
    moved = home.parent / "alone"
    folder.rename(moved)
    with pytest.raises(ConfigError, match="has none") as caught:
        plan_cells(moved, profile, ["openvino"])
    assert caught.value.hint == ""


def test_the_export_that_a_bundle_asks_for_is_the_one_that_it_lacks(home):
    folder = exported(home, "mine", "int8-static", of="other weights")
    with pytest.raises(BundleError, match="another checkpoint") as caught:
        _checkpoint({"mine": (folder, read_artifact(folder))}, home)
    assert caught.value.hint == f"harness export {home} --to onnx --precision int8-static --out {folder}"
