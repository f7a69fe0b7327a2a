"""Every backend keeps the same contract: it says why it can't run, takes known options only, and computes what torch_eager computes."""

from pathlib import Path

import numpy as np
import pytest

from harness.core.artifact import read_subject
from harness.core.errors import ConfigError, HarnessError, MeasurementError, UnavailableError
from harness.core.registry import BACKENDS, EXPORTERS
from harness.profiling.doctor import PRECISIONS
from harness.support.export_data import CONTEXT, Context
from tests.small_checkpoint import small_checkpoint

NAMES = BACKENDS.names()
#: The exporter whose artifact a backend runs; "" for the checkpoint itself.
MADE_BY = {"torch_eager": "", "torch_compile": "", "torch_export": "torch_export", "onnxruntime": "onnx", "openvino": "openvino", "tensorrt": "tensorrt"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A small checkpoint with the fp32 artifacts of it that this machine can make, by exporter."""
    home = tmp_path_factory.mktemp("home")
    made = {"": small_checkpoint(home / "checkpoint")}
    for name in ("onnx", "torch_export", "openvino"):
        exporter = EXPORTERS.load(name)
        if exporter.unavailable() is None:
            source = made.get(exporter.source, made[""])
            options = {CONTEXT: Context("synthetic", None, made[""])}
            exporter.export(source, precision="fp32", out=home / name, options=options)
            made[name] = home / name
    return made


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [np.random.default_rng(seed).normal(100, 25, (batch, 4, 32, 32)).astype(np.float32) for seed, batch in enumerate((1, 3))]


def opened(name: str, folders: dict[str, Path], options=None):
    backend = BACKENDS.load(name)
    folder = folders.get(MADE_BY[name])
    reason = backend.unavailable(backend.devices[0]) or ("its exporter can't run here" if folder is None else None)
    if reason:
        pytest.skip(reason)
    return backend.open(folder, read_subject(folder), device="cpu", threads=1, options=options or {})


@pytest.fixture(scope="module")
def wanted(folders, images) -> list[np.ndarray]:
    """Logits of torch_eager."""
    with opened("torch_eager", folders) as session:
        return [logits_of(session, image) for image in images]


def logits_of(session, image: np.ndarray) -> np.ndarray:
    session.bind([image])
    session.run()
    session.sync()
    (logits,) = session.outputs()
    return logits.copy()


@pytest.mark.parametrize("name", NAMES)
def test_it_declares_what_it_runs(name):
    backend = BACKENDS.load(name)
    assert backend.formats
    assert set(backend.devices) <= {"cpu", "cuda"}
    assert isinstance(backend.is_default, bool)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_why_it_can_not_run_and_opening_says_the_same(name, tmp_path):
    backend = BACKENDS.load(name)
    for device in backend.devices:
        reason = backend.unavailable(device)
        if reason is None:
            continue
        assert len(reason) > 15
        artifact = read_subject(small_checkpoint(tmp_path / device))
        with pytest.raises(UnavailableError) as caught, backend.open(tmp_path, artifact, device=device, threads=1, options={}):
            pass
        assert reason in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_precision_runs_or_has_a_reason(name, precision):
    backend = BACKENDS.load(name)
    for device in backend.devices:
        reason = backend.lacks(precision, device)
        assert reason is None or len(reason) > 15
        if backend.unavailable(device):
            assert reason == backend.unavailable(device)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"fake"}))
def test_an_unknown_runtime_option_is_named_with_those_that_are_known(name):
    with pytest.raises(ConfigError, match="grpah_optimization"):
        BACKENDS.load(name).settings({"grpah_optimization": "all"})


#: Inductor calls a C++ compiler for every kernel of every input shape.
RUN_HERE = [pytest.param(name, marks=[pytest.mark.slow] * (name == "torch_compile")) for name in sorted(set(NAMES) - {"fake", "tensorrt"})]


@pytest.mark.parametrize("name", RUN_HERE)
def test_it_computes_what_torch_eager_computes_at_any_batch(name, folders, images, wanted):
    with opened(name, folders) as session:
        for image, expected in zip(images, wanted, strict=True):
            logits = logits_of(session, image)
            assert logits.dtype == np.float32
            np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_array_equal(logits_of(session, images[0]), logits_of(session, images[0]))
        assert session.facts()


@pytest.mark.parametrize("name", ["torch_export", "onnxruntime", "openvino"])
def test_a_file_that_was_cut_short_is_one_error(name, folders, tmp_path):
    folder = folders.get(MADE_BY[name])
    if folder is None:
        pytest.skip("its exporter can't run here")
    artifact = read_subject(folder)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(HarnessError), BACKENDS.load(name).open(tmp_path, artifact, device="cpu", threads=1, options={}):
        pass


@pytest.mark.parametrize("level", ["all", "basic", "disable"])
def test_onnxruntime_optimizes_the_graph_as_the_profile_says(level, folders, images, wanted):
    with opened("onnxruntime", folders, {"graph_optimization": level, "arena": False}) as session:
        np.testing.assert_allclose(logits_of(session, images[0]), wanted[0], atol=1e-4 * np.abs(wanted[0]).max())
        facts = session.facts()
    assert facts["graph_optimization"] == {"all": "ORT_ENABLE_ALL", "basic": "ORT_ENABLE_BASIC", "disable": "ORT_DISABLE_ALL"}[level]
    assert facts["arena"] is False
    assert facts["provider"] == "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"provider": "cuda"}, "does not run on the device cpu"),
        ({"provider": "rocm"}, "one of"),
        ({"cuda_graph": True}, "needs a GPU"),
        ({"arena": 1}, "arena"),
        ({"graph_optimization": "most"}, "all, extended, basic, disable"),
    ],
)
def test_onnxruntime_refuses_options_that_can_not_be(options, words, folders):
    with pytest.raises(ConfigError, match=words), opened("onnxruntime", folders, options):
        pass


def test_openvino_runs_as_many_threads_as_it_is_told_and_in_the_artifact_s_precision(folders):
    with opened("openvino", folders) as session:
        facts = session.facts()
    assert (facts["inference_threads"], facts["streams"], facts["inference_precision"]) == (1, 1, "f32")


def test_openvino_reads_an_onnx_artifact_too(folders, images, wanted):
    backend = BACKENDS.load("openvino")
    if backend.unavailable() or "onnx" not in folders:
        pytest.skip("OpenVINO or ONNX is not here")
    with backend.open(folders["onnx"], read_subject(folders["onnx"]), device="cpu", threads=1, options={}) as session:
        np.testing.assert_allclose(logits_of(session, images[1]), wanted[1], atol=1e-4 * np.abs(wanted[1]).max())


def test_torch_compile_without_a_compiler_says_so():
    backend = BACKENDS.load("torch_compile")
    from torch._inductor import config

    # pytest's monkeypatch deletes the setting at the end instead of restoring it, and then no other test has a compiler.
    with config.patch({"cpp.cxx": ("no-such-compiler",)}):
        assert "C++ compiler" in str(backend.unavailable("cpu"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tensorrt": "10.9.0"}, "built with TensorRT 10.9.0"),
        ({"tensorrt": "11.9.0", "version_compatible": True}, "built with TensorRT 11.9.0"),
        ({"tensorrt": "11.4.0", "gpu": "Other GPU", "compute_capability": "8.0", "runs_on": "none"}, "built for Other GPU"),
        ({"tensorrt": "11.4.0", "gpu": "Other GPU", "compute_capability": "8.0", "runs_on": "same_compute_capability"}, "compute capability 8.0"),
    ],
)
def test_an_engine_of_another_version_or_gpu_is_refused(options, words, monkeypatch):
    import sys
    import types

    from harness.support import tensorrt_build

    monkeypatch.setitem(sys.modules, "tensorrt", types.SimpleNamespace(__version__="11.4.0"))
    monkeypatch.setattr(tensorrt_build, "gpu", lambda: ("This GPU", "9.0"))
    assert words in str(tensorrt_build.refusal(options))
    fitting = {"tensorrt": "11.4.0", "gpu": "This GPU", "compute_capability": "9.0", "runs_on": "none"}
    assert tensorrt_build.refusal(fitting) is None
    assert tensorrt_build.refusal({**fitting, "gpu": "Other", "compute_capability": "8.0", "runs_on": "ampere_plus"}) is None
    assert tensorrt_build.refusal({**fitting, "tensorrt": "11.3.9", "version_compatible": True}) is None


@pytest.mark.parametrize("options", [{}, {"version_compatible": False}, {"version_compatible": True}])
def test_a_version_compatible_engine_may_bring_its_runtime_and_no_other_may(options, monkeypatch, tmp_path):
    import sys
    import types

    from harness.support import tensorrt_build

    class Runtime:
        """As TensorRT's: a plan with code for the CPU gives no engine unless that is allowed (IRuntime::setEngineHostCodeAllowed)."""

        engine_host_code_allowed = False

        def __init__(self, _logger):
            pass

        def deserialize_cuda_engine(self, plan):
            return "engine" if self.engine_host_code_allowed == (plan == b"with a runtime") else None

    class Logger:
        ERROR = 1

        def __init__(self, _severity):
            pass

    artifact = read_subject(small_checkpoint(tmp_path / "checkpoint")).model_copy(update={"file": "model.plan", "options": options})
    monkeypatch.setitem(sys.modules, "tensorrt", types.SimpleNamespace(__version__="11.4.0", Runtime=Runtime, Logger=Logger))
    monkeypatch.setattr(tensorrt_build, "refusal", lambda _options: None)
    backend = BACKENDS.load("tensorrt")
    monkeypatch.setattr(type(backend), "unavailable", lambda self, device="cuda": None)
    (tmp_path / "model.plan").write_bytes(b"with a runtime" if options.get("version_compatible") else b"without")
    assert backend._checked_engine(tmp_path, artifact, "cuda") == "engine"


def test_a_damaged_engine_is_not_a_crash(tmp_path):
    backend = BACKENDS.load("tensorrt")
    if backend.unavailable("cuda"):
        pytest.skip(backend.unavailable("cuda"))
    artifact = read_subject(small_checkpoint(tmp_path / "checkpoint"))
    with pytest.raises(MeasurementError, match="not loaded"), backend.open(tmp_path, artifact, device="cuda", threads=1, options={}):
        pass


@pytest.mark.parametrize("name", ["torch_eager", "torch_export"])
def test_what_runs_in_pytorch_can_be_timed_on_the_device(name, folders):
    with opened(name, folders) as session:
        assert hasattr(session, "device_seconds")
        assert session.facts()["tf32"] is False


@pytest.mark.parametrize("found", [("a", "b", 3), {"x": "a", "y": "b"}], ids=["tuple", "dict"])
def test_a_program_with_several_outputs_gives_its_tensors_in_order(found):
    import torch

    from harness.support.torch_session import TorchSession

    tensors = {"a": torch.zeros(1), "b": torch.ones(2, dtype=torch.bfloat16)}
    values = {key: tensors[name] for key, name in found.items()} if isinstance(found, dict) else tuple(tensors.get(name, name) for name in found)
    session = TorchSession(lambda *_: values, "cpu")
    session.bind([])
    session.run()
    assert [(output.tolist(), output.dtype) for output in session.outputs()] == [([0.0], np.float32), ([1.0, 1.0], np.float32)]
