"""The whole corridor through the command line on the synthetic set: data, train, export, profile, table, plot; and bad input at each verb."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from harness.cli.main import run
from harness.results.store import read_records

MODEL = "timm:resnet10t+fpn"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder in which the corridor has been walked once."""
    folder = tmp_path_factory.mktemp("home")
    assert run(["data", "prepare", "synthetic", "--root", str(folder / "data")]) == 0
    assert train(folder, "--epochs", "2") == 0
    assert run(["export", str(folder / "run"), "--to", "onnx"]) == 0
    assert profile(folder) == 0
    return folder


def train(home: Path, *more: str, out: str = "run", model: str = MODEL) -> int:
    return run(["train", model, "--data", "synthetic", "--root", str(home / "data"), "--out", str(home / out), *more])


def profile(home: Path, *more: str, subject: str = "run") -> int:
    return run(["profile", str(home / subject), "--profile", "ci", "--root", str(home / "data"), "--out", str(home / "records"), *more])


def table(home: Path, capsys, form: str) -> str:
    capsys.readouterr()
    assert run(["table", "--records", str(home / "records"), "--format", form]) == 0
    return capsys.readouterr().out


def test_the_table_has_a_row_per_runtime_with_measured_figures(home, capsys):
    rows = json.loads(table(home, capsys, "json"))
    assert {row["runtime"] for row in rows} == {"torch_eager", "onnxruntime"}
    for row in rows:
        assert 0 < row["figures"]["miou"]["value"] <= 1
        assert row["figures"]["latency"]["value"] > 0
        assert row["figures"]["forward_flops"]["value"] > 1e6
        assert row["figures"]["peak_host_memory"]["value"] > 10e6


def test_both_runtimes_decide_alike_and_count_alike(home, capsys):
    rows = {row["runtime"]: row for row in json.loads(table(home, capsys, "json"))}
    assert rows["onnxruntime"]["figures"]["argmax_agreement"]["value"] > 0.999
    assert rows["onnxruntime"]["figures"]["forward_flops"]["value"] == rows["torch_eager"]["figures"]["forward_flops"]["value"]
    assert abs(rows["onnxruntime"]["figures"]["miou"]["value"] - rows["torch_eager"]["figures"]["miou"]["value"]) < 1e-3


def test_each_record_holds_what_three_counters_found(home):
    for record in read_records(home / "records").records:
        found = record.measured("forward_flops")
        assert len(found.detail["counters"]) >= 3
        assert set(found.detail["counters"].values()) == {found.value}
        assert found.detail["agree"] is True


def test_layers_divide_weights_flop_and_time_among_encoder_and_decoder(home, tmp_path, capsys):
    settings = ["--root", str(home / "data"), "--out", str(tmp_path), "--probes", "flops", "--layers", "--json"]
    assert run(["profile", str(home / "run"), "--profile", "ci", *settings]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {one["cell"]["backend"] for one in said} == {"torch_eager", "onnxruntime"}
    for one in said:
        flops = {part["name"]: part["flops"] for part in one["layers"]["parts"]}
        counted = {outcome["quantity"]: outcome["samples"][0] for outcome in one["outcomes"] if outcome["kind"] == "measured"}
        assert flops["encoder"] + flops["decoder"] == pytest.approx(counted["forward_flops"], rel=0.02)  # ONNX Runtime fills up channels
        assert one["layers"]["weights"]["encoder"] > one["layers"]["weights"]["decoder"] > 0
        assert all(part["seconds"] > 0 for part in one["layers"]["parts"])


def test_the_other_formats_name_the_model(home, capsys):
    assert MODEL in table(home, capsys, "md")
    assert {row["model"] for row in csv.DictReader(table(home, capsys, "csv").splitlines())} == {MODEL}
    assert "toprule" in table(home, capsys, "latex")
    assert MODEL in table(home, capsys, "terminal")


def test_the_plot_is_written_in_both_formats(home, capsys):
    assert run(["plot", "--records", str(home / "records"), "--out", str(home / "tradeoff")]) == 0
    assert (home / "tradeoff.png").stat().st_size > 10_000
    assert (home / "tradeoff.svg").read_text().startswith("<?xml")


def test_a_second_walk_keeps_what_is_there(home, capsys):
    before = (home / "run" / "weights.safetensors").stat().st_mtime_ns
    artifact = (home / "run" / "artifacts" / "onnx-fp32" / "model.onnx").stat().st_mtime_ns
    records = sorted((home / "records").rglob("*.json"))
    assert train(home, "--epochs", "2") == 0
    assert run(["export", str(home / "run")]) == 0
    assert profile(home, "--reuse") == 0
    assert (home / "run" / "weights.safetensors").stat().st_mtime_ns == before
    assert (home / "run" / "artifacts" / "onnx-fp32" / "model.onnx").stat().st_mtime_ns == artifact
    assert sorted((home / "records").rglob("*.json")) == records
    assert "exists already" in capsys.readouterr().err


def test_an_artifact_alone_is_profiled_with_parity_because_its_checkpoint_lies_above_it(home, capsys):
    assert profile(home, "--json", subject="run/artifacts/onnx-fp32") == 0
    (record,) = json.loads(capsys.readouterr().out)
    outcomes = {outcome["quantity"]: outcome for outcome in record["outcomes"]}
    assert outcomes["argmax_agreement"]["kind"] == "measured"
    Path(record["path"]).unlink()


def test_an_artifact_far_from_its_checkpoint_says_why_it_has_no_parity(home, tmp_path, capsys):
    shutil.copytree(home / "run" / "artifacts" / "onnx-fp32", tmp_path / "moved")
    assert run(["profile", str(tmp_path / "moved"), "--profile", "ci", "--root", str(home / "data"), "--out", str(tmp_path / "r"), "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    outcomes = {outcome["quantity"]: outcome for outcome in record["outcomes"]}
    assert "its checkpoint is not beside it" in outcomes["argmax_agreement"]["reason"]
    assert outcomes["miou"]["kind"] == "measured"


def said(capsys) -> str:
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", "unett+unet", "--data", "synthetic"], 2, "did you mean 'unet'"),
        (["train", "unet", "--data", "synthetic"], 2, "<encoder>+<decoder>"),
        (["train", "unet+unet", "--data", "syntetic"], 2, "did you mean 'synthetic'"),
        (["data", "prepare", "bluemarble_ise"], 2, "did you mean 'bluemarble_ice'"),
        (["export", "no-such-folder"], 4, "no-such-folder"),
        (["profile", "no-such-folder"], 2, "does not exist"),
        (["profile", "no-such-folder", "--profile", "cpu-defaut"], 2, "did you mean 'cpu-default'"),
        (["profile", "no-such-folder", "--profile", "mine.yaml"], 2, "mine.yaml does not exist"),
        (["table", "--records", "no-such-folder"], 4, "no-such-folder"),
        (["table", "--format", "xml"], 2, "xml"),
        (["list", "encoder"], 2, "encoders"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_is_one_error_with_its_exit_code(arguments, code, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == code
    told = said(capsys)
    assert words in told
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())


def test_a_set_that_is_not_prepared_says_how_to(tmp_path, capsys):
    assert run(["train", MODEL, "--data", "synthetic", "--root", str(tmp_path), "--out", str(tmp_path / "run")]) == 4
    assert "harness data prepare synthetic" in said(capsys)
    assert not (tmp_path / "run").exists()


def damaged(home: Path, tmp_path: Path) -> Path:
    shutil.copytree(home / "run", tmp_path / "run", ignore=shutil.ignore_patterns("artifacts", ".work"))
    return tmp_path / "run"


def test_missing_and_extra_tensors_are_all_named(home, tmp_path, capsys):
    from safetensors.torch import load_file, save_file

    from harness.core.files import sha256_of_file

    folder = damaged(home, tmp_path)
    tensors = load_file(folder / "weights.safetensors")
    gone = sorted(key for key in tensors if key.startswith("decoder.classify"))
    kept = {key: value for key, value in tensors.items() if key not in gone}
    save_file({**kept, "decoder.surplus": tensors[gone[0]]}, folder / "weights.safetensors")
    facts = json.loads((folder / "checkpoint.json").read_text())
    facts["weights_sha256"] = sha256_of_file(folder / "weights.safetensors")
    (folder / "checkpoint.json").write_text(json.dumps(facts))
    assert run(["export", str(folder)]) == 4
    told = said(capsys)
    assert all(key in told for key in [*gone, "decoder.surplus"])
    assert not (folder / "artifacts" / "onnx-fp32").exists()


def test_a_pickle_in_place_of_safetensors_is_not_read(home, tmp_path, capsys):
    import torch

    folder = damaged(home, tmp_path)
    torch.save({"a": torch.zeros(3)}, folder / "weights.safetensors")
    assert run(["export", str(folder)]) == 4
    assert "not a whole safetensors file" in said(capsys)


def test_weights_that_changed_since_training_are_refused(home, tmp_path, capsys):
    folder = damaged(home, tmp_path)
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(bytes(data))
    assert run(["export", str(folder)]) == 4
    assert "sha256 differs" in said(capsys)


def test_an_onnx_file_that_changed_since_export_is_refused(home, tmp_path, capsys):
    shutil.copytree(home / "run" / "artifacts" / "onnx-fp32", tmp_path / "a")
    with (tmp_path / "a" / "model.onnx").open("ab") as file:
        file.write(b"x")
    assert run(["profile", str(tmp_path / "a"), "--root", str(home / "data"), "--out", str(tmp_path / "r")]) == 4
    assert "not the file that was exported" in said(capsys)


def test_an_artifact_that_names_a_file_outside_its_folder_is_refused(home, tmp_path, capsys):
    shutil.copytree(home / "run" / "artifacts" / "onnx-fp32", tmp_path / "a")
    facts = json.loads((tmp_path / "a" / "artifact.json").read_text())
    facts["file"] = "../../etc/passwd"
    (tmp_path / "a" / "artifact.json").write_text(json.dumps(facts))
    assert run(["profile", str(tmp_path / "a"), "--root", str(home / "data"), "--out", str(tmp_path / "r")]) == 4
    assert "not a plain file name" in said(capsys)


def test_a_backend_that_can_not_run_the_subject_says_what_to_export(home, tmp_path, capsys):
    folder = damaged(home, tmp_path)
    assert run(["profile", str(folder), "--backends", "onnxruntime", "--root", str(home / "data"), "--out", str(tmp_path / "r")]) == 2
    assert "--to onnx" in said(capsys)


def test_a_device_that_is_not_there_is_said_before_anything_runs(home, tmp_path, capsys):
    (tmp_path / "gpu.yaml").write_text("schema: 1\nname: gpu\npurpose: x\nruntime: {backend: onnxruntime, device: cuda}\n")
    if run(["profile", str(home / "run"), "--profile", str(tmp_path / "gpu.yaml"), "--root", str(home / "data"), "--out", str(tmp_path / "r")]) == 0:
        pytest.skip("this machine has a GPU")
    assert "CUDA" in said(capsys)


def test_a_parity_failure_leaves_no_artifact(home, tmp_path, capsys, monkeypatch):
    import exporters.onnx

    folder = damaged(home, tmp_path)
    monkeypatch.setattr(exporters.onnx, "TOLERANCE", 1e-12)
    assert run(["export", str(folder)]) == 4
    assert "differs from the network" in said(capsys)
    assert not list((folder / "artifacts").iterdir()) if (folder / "artifacts").exists() else True


def test_a_folder_that_can_not_be_written_is_one_error(home, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run(["export", str(home / "run"), "--out", str(tmp_path / "file" / "a"), "--force"]) == 4
    assert "cannot write" in said(capsys)


def test_a_corrupt_record_is_named_and_the_others_are_shown(home, tmp_path, capsys):
    shutil.copytree(home / "records", tmp_path / "records")
    victim = sorted((tmp_path / "records").rglob("*.json"))[0]
    victim.write_text(victim.read_text()[:500])
    assert run(["table", "--records", str(tmp_path / "records"), "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert victim.name in err
    assert len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("input: {batch: 1, tile: 32}", "asks for tiles of 32 px"),
        ("probes: [size, lateny]", "did you mean 'latency'"),
        ("probes: []", "at least 1 item"),
        ("input: {batch: true}", "batch"),
    ],
)
def test_a_profile_that_asks_for_what_can_not_be_is_refused_before_anything_runs(home, tmp_path, capsys, change, words):
    key = change.partition(":")[0]
    lines = [line for line in Path("profiles/ci.yaml").read_text().splitlines() if not line.startswith(f"{key}:")]
    mine = tmp_path / "mine.yaml"
    mine.write_text("\n".join([*lines, change]))
    capsys.readouterr()
    assert run(["profile", str(home / "run"), "--profile", str(mine), "--root", str(home / "data"), "--out", str(tmp_path / "records")]) == 2
    assert words in said(capsys)
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize("value", ["-5", "abc", "1.5", "true"])
def test_an_option_of_a_wrong_kind_is_one_error(home, tmp_path, capsys, value):
    assert train(home, "--decoder-option", f"width={value}", out="wrong") == 2
    assert "option width of fpn" in said(capsys)
