"""ONNX Runtime's providers: options in their own words, reasons that are true, and never another provider than the one asked for."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.errors import ConfigError, MeasurementError
from harness.core.registry import BACKENDS
from harness.support.onnx_providers import (
    NAMES,
    lacking,
    missing,
    nodes_by_provider,
    placement,
    provider_options,
    require_placed,
    require_possible,
    session_on,
)
from tests import tensorrt_offline
from tests.precision_graphs import overflowing_graph

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def settings(**options):
    return BACKENDS.load("onnxruntime").settings(options)


def test_each_provider_is_told_in_its_own_words():
    asked = settings(cuda_graph=True, engine_cache="/engines")
    assert provider_options("cpu", settings()) == [("CPUExecutionProvider", {})]
    assert provider_options("cuda", settings(tf32=True)) == [("CUDAExecutionProvider", {"use_tf32": "1", "enable_cuda_graph": "0"})]
    (name, told), (rest, fallback) = provider_options("tensorrt", asked)
    assert (name, rest, fallback) == ("TensorrtExecutionProvider", "CUDAExecutionProvider", {"use_tf32": "0"})
    assert told == {
        "trt_cuda_graph_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/engines",
        "trt_engine_cache_prefix": "fp32",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": "/engines",
    }
    ((name, told),) = provider_options("nv_tensorrt_rtx", asked)
    assert (name, told) == ("NvTensorRTRTXExecutionProvider", {"enable_cuda_graph": "1", "nv_runtime_cache_path": "/engines"})


@pytest.mark.parametrize("provider", ["tensorrt", "nv_tensorrt_rtx"])
def test_without_an_engine_cache_nothing_is_said_of_one(provider):
    assert not any("cache" in name for _, told in provider_options(provider, settings()) for name in told)


@pytest.mark.parametrize(
    ("provider", "device", "options", "words"),
    [
        ("nv_tensorrt_rtx", "cpu", {}, "nv_tensorrt_rtx does not run on the device cpu"),
        ("cpu", "cuda", {}, "cpu does not run on the device cuda"),
        ("cpu", "cpu", {"cuda_graph": True}, "needs a GPU"),
        ("cuda", "cuda", {"engine_cache": "/engines"}, "cuda builds no engine"),
    ],
)
def test_what_can_not_be_is_refused_before_a_session_opens(provider, device, options, words):
    with pytest.raises(ConfigError, match=words):
        require_possible(provider, device, settings(**options))


@pytest.mark.parametrize("provider", sorted(NAMES))
def test_what_can_be_is_not_refused(provider):
    require_possible(provider, "cpu" if provider == "cpu" else "cuda", settings())


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_this_build_lacks_is_named_with_the_package_that_has_it(provider):
    if NAMES[provider] in onnxruntime.get_available_providers():
        pytest.skip("this build has it")
    assert NAMES[provider] in missing(provider)
    assert "pip install onnxruntime-gpu" in missing(provider)


def test_a_provider_that_is_a_package_of_its_own_is_named_with_it():
    if "onnxruntime_ep_nv_tensorrt_rtx" in sys.modules:
        pytest.skip("it is installed")
    assert "pip install onnxruntime-ep-nv-tensorrt-rtx" in missing("nv_tensorrt_rtx")


def test_tensorrt_rtx_s_own_package_without_a_driver_says_what_it_lacks():
    try:
        root = tensorrt_offline.import_root()
    except tensorrt_offline.UnavailableError as reason:
        pytest.skip(str(reason))
    command = "from harness.support.onnx_providers import missing; print(missing('nv_tensorrt_rtx'))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(Path.cwd())])}
    said = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True, timeout=120).stdout
    if "libcuda" not in said:
        pytest.skip(f"there is a driver here: {said.strip()}")
    assert "libcuda.so.1: cannot open shared object file" in said
    assert "NVIDIA driver" in said


def test_a_session_that_would_run_elsewhere_is_an_error(tmp_path):
    """This build takes the CPU where it lacks a provider that is asked for, with a warning: what is read back must be what was asked."""
    if NAMES["cuda"] in onnxruntime.get_available_providers():
        pytest.skip("this build has CUDA")
    onnx.save(overflowing_graph()[0], tmp_path / "model.onnx")
    with pytest.raises(MeasurementError, match=r"CPUExecutionProvider|fallback"):
        session_on("cuda", tmp_path / "model.onnx", onnxruntime.SessionOptions(), settings())
    assert session_on("cpu", tmp_path / "model.onnx", onnxruntime.SessionOptions(), settings()).get_providers()[0] == NAMES["cpu"]


class Opened:
    """ONNX Runtime's session on a GPU, as a machine without one can have it: it keeps what it was told, and all nodes run where they are said to."""

    def __init__(self, _path, options, providers, **others):
        self.asked, self.others = providers, others
        self.recorded = options.get_session_config_entry("session.record_ep_graph_assignment_info")
        self.tf32 = os.environ.get("NVIDIA_TF32_OVERRIDE")

    def get_providers(self):
        return [name for name, _ in self.asked]

    def get_provider_graph_assignment_info(self):
        rows = [(self.asked[0][0], "Conv"), (NAMES["cpu"], "Concat"), (NAMES["cpu"], "Slice")]
        return [SimpleNamespace(ep_name=name, get_nodes=lambda kind=kind: [SimpleNamespace(op_type=kind)]) for name, kind in rows]


def opened_on(monkeypatch, provider, **options):
    monkeypatch.setattr(onnxruntime, "InferenceSession", Opened)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    return session_on(provider, Path("model.onnx"), onnxruntime.SessionOptions(), settings(**options))


def test_a_graph_that_reads_its_batch_opens_on_a_gpu(monkeypatch):
    session = opened_on(monkeypatch, "cuda")
    assert session.recorded == "1"
    assert session.others == {"enable_fallback": 0}
    assert nodes_by_provider(session) == {NAMES["cuda"]: 1, NAMES["cpu"]: 2}


@pytest.mark.parametrize(("tf32", "told"), [(False, "0"), (True, None)])
def test_a_tensorrt_provider_rounds_to_tf32_only_where_it_may(tf32, told, monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # put back when the test ends
    assert opened_on(monkeypatch, "tensorrt", tf32=tf32).tf32 == told


def test_engines_with_and_without_tf32_are_not_taken_for_each_other():
    names = [dict(provider_options("tensorrt", settings(engine_cache="/engines", tf32=tf32)))[NAMES["tensorrt"]] for tf32 in (True, False)]
    assert [told["trt_engine_cache_prefix"] for told in names] == ["tf32", "fp32"]


def test_what_computes_on_the_cpu_is_told_from_what_computes_shapes(tmp_path):
    onnx.save(overflowing_graph()[0], tmp_path / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    placed = placement(onnxruntime.InferenceSession(tmp_path / "model.onnx", options, providers=[NAMES["cpu"]]))
    assert placed[NAMES["cpu"]]["Conv"] or placed[NAMES["cpu"]]["MatMul"]
    with pytest.raises(MeasurementError, match="takes no node"):
        require_placed(placed, "cuda")
    both = {NAMES["cuda"]: Counter(Conv=3), NAMES["cpu"]: Counter(Shape=1, Concat=2)}
    require_placed(both, "cuda")
    with pytest.raises(MeasurementError, match="DynamicQuantizeLinear, MatMulInteger on the CPU"):
        require_placed({**both, NAMES["cpu"]: Counter(Concat=2, MatMulInteger=1, DynamicQuantizeLinear=1)}, "cuda")


@pytest.mark.parametrize(
    ("provider", "precision", "words"),
    [
        ("cpu", "bf16", "bfloat16"),
        ("cuda", "int8-static", "provider: tensorrt"),
        ("cuda", "int8-dynamic", "DynamicQuantizeLinear"),
        ("tensorrt", "int8-dynamic", "DynamicQuantizeLinear"),
    ],
)
def test_a_precision_that_a_provider_would_not_compute_in_is_unsupported(provider, precision, words):
    assert words in str(lacking(provider, precision))
    assert lacking(provider, "fp32") is None
    assert lacking("tensorrt", "int8-static") is None


@pytest.mark.parametrize(("change", "words"), [({"opset": 99}, "opset 99 of ai.onnx, the last known one is [0-9]+"), ({"ir": 99}, "IR version is 99")])
def test_a_graph_that_is_newer_than_the_runtime_is_one_line_with_the_file_the_version_and_the_fix(change, words, tmp_path):
    model, _ = overflowing_graph()
    model.ir_version = change.get("ir", model.ir_version)
    model.opset_import[0].version = change.get("opset", model.opset_import[0].version)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(MeasurementError, match=words) as caught:
        session_on("cpu", tmp_path / "model.onnx", onnxruntime.SessionOptions(), settings())
    assert str(tmp_path / "model.onnx") in caught.value.message
    assert onnxruntime.__version__ in caught.value.message
    assert len(caught.value.message) < 120 + len(str(tmp_path))
    assert "--opset 20" in caught.value.hint


def test_what_onnx_runtime_casts_on_x86_is_what_is_left_out(tmp_path):
    """The reason itself: after optimization no convolution has half weights."""
    import platform

    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("not an x86 processor")
    model, _ = overflowing_graph()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    half = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight).astype("float16"), "weight")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["image", "weight"], ["logits"])],
        "half",
        *([onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT16, ["batch", 1, 4, 4])] for name in ("image", "logits")),
        [half],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), tmp_path / "half.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(tmp_path / "half.onnx", options, providers=[NAMES["cpu"]])
    optimized = onnx.load(tmp_path / "optimized.onnx")
    assert {tensor.data_type for tensor in optimized.graph.initializer} == {onnx.TensorProto.FLOAT}
    assert "in fp32" in BACKENDS.load("onnxruntime").lacks("fp16", "cpu")
