"""ONNX Runtime's execution providers: which are here, why the rest is not, and a session on one of them or an error, never on another."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import ConfigError, MeasurementError, UnavailableError
from harness.core.registry import missing_package

if TYPE_CHECKING:
    import onnxruntime

NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "nv_tensorrt_rtx": "NvTensorRTRTXExecutionProvider",
}
#: The package of a provider that is a plug-in of ONNX Runtime, and not a part of it.
PLUGIN = {"nv_tensorrt_rtx": "onnxruntime_ep_nv_tensorrt_rtx"}
#: Providers that build an engine when a session opens, which they can keep in a folder.
BUILDERS = ("tensorrt", "nv_tensorrt_rtx")
#: What computes the few numbers of a shape. ONNX Runtime runs these on the CPU although the GPU could (`GetCpuPreferredNodes` in its
#: fallback_cpu_capability.cc), so `session.disable_cpu_ep_fallback` refuses every graph that has a free batch and reads its shape.
SHAPE_OPERATORS = frozenset({
    "Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand", "Floor", "Gather", "Greater", "Identity", "Less", "Max",
    "Min", "Mod", "Mul", "Neg", "Not", "Or", "Range", "ReduceProd", "Reshape", "Shape", "Size", "Slice", "Squeeze", "Sub", "Unsqueeze", "Where",
})  # fmt: skip
#: The environment variable that is the only way to tell the TensorRT providers not to round to TF32 (microsoft/onnxruntime#26029).
TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
#: Letters of an error's reason.
LONGEST = 300
#: What ONNX Runtime says of a file that is newer than itself (its core/graph/model.cc and model_load_utils.h), and that in short.
_TOO_NEW = {
    r"Opset (?P<seen>\d+) is under development.*?support for domain (?P<domain>\S+) is till opset (?P<known>\d+)": (
        "it is of opset {seen} of {domain}, the last known one is {known}"
    ),
    r"Unsupported model IR version: (?P<seen>\d+), max supported IR version: (?P<known>\d+)": "its IR version is {seen}, the last known one is {known}",
}


def device_of(provider: str) -> str:
    return "cpu" if provider == "cpu" else "cuda"


def missing(provider: str) -> str | None:
    """Why the provider can't run here, with the fix; None when it can as far as can be seen before a session opens."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        return str(missing_package("backend onnxruntime", error))
    if provider in PLUGIN:
        return _missing_plugin(provider)
    if NAMES[provider] not in onnxruntime.get_available_providers():
        return f"onnxruntime {onnxruntime.__version__} has no {NAMES[provider]}; pip uninstall onnxruntime, then pip install onnxruntime-gpu"
    return None if provider == "cpu" else _no_gpu()


def lacking(provider: str, precision: str) -> str | None:
    """Why the provider can't compute in the precision of a graph, None when it can."""
    if provider == "cpu":
        return "ONNX Runtime has no bfloat16 convolution on a CPU" if precision == "bf16" else None
    if precision == "int8-dynamic":
        return "ONNX Runtime has DynamicQuantizeLinear on the CPU only; use int8-static with the provider tensorrt"
    if precision == "int8-static" and provider == "cuda":
        return "ONNX Runtime's CUDA provider computes between Q/DQ pairs in fp32; use runtime.options: {provider: tensorrt}"
    return None


def _missing_plugin(provider: str) -> str | None:
    try:
        return None if _plugin_devices(provider) else f"{NAMES[provider]} takes none of the GPUs here: it wants an RTX GPU (compute capability 8.6, 8.9, 12)"
    except UnavailableError as error:
        return str(error)


def _plugin_devices(provider: str) -> Sequence[onnxruntime.OrtEpDevice]:
    """The devices that the plug-in offers, which is registered on the first call. Raises UnavailableError."""
    import onnxruntime

    package = PLUGIN[provider].replace("_", "-")
    try:
        plugin: Any = importlib.import_module(PLUGIN[provider])
    except ModuleNotFoundError as error:
        raise UnavailableError(f"{NAMES[provider]} is a package of its own, which is not installed", f"pip install {package}") from error
    if not hasattr(onnxruntime, "get_ep_devices"):
        raise UnavailableError(f"onnxruntime {onnxruntime.__version__} takes no plug-in providers", "pip install 'onnxruntime>=1.24'")
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == NAMES[provider]]
    if devices:
        return devices
    try:
        onnxruntime.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
    except failures() as error:
        if "already" not in str(error):
            reason = str(error).rpartition("with error: ")[2].splitlines()[0][:200]
            raise UnavailableError(f"{NAMES[provider]} can't be loaded: {reason}", "install the NVIDIA driver; check with nvidia-smi") from error
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == NAMES[provider]]


def _no_gpu() -> str | None:
    """Why CUDA can't run: NVML does not see its GPU. None where it does, or where NVML is not here to be asked."""
    from harness.support.gpu import gpu

    try:
        import pynvml  # noqa: F401
    except ModuleNotFoundError:
        return None
    found = gpu()
    return f"onnxruntime has CUDA, but {found}" if isinstance(found, str) else None


def require_possible(provider: str, device: str, settings: Mapping[str, Any]) -> None:
    """Raises ConfigError for a provider or an option that belongs to the other device, or an option that the provider has not."""
    if device_of(provider) != device:
        raise ConfigError(f"provider {provider} does not run on the device {device}", f"runtime: {{device: {device_of(provider)}}}")
    if settings["cuda_graph"] and device == "cpu":
        raise ConfigError("cuda_graph needs a GPU, and this cell runs on the CPU", "runtime: {device: cuda}")
    if settings["engine_cache"] and provider not in BUILDERS:
        raise ConfigError(f"provider {provider} builds no engine, so it has no engine_cache", f"runtime.options: {{provider: {' or '.join(BUILDERS)}}}")


def provider_options(provider: str, settings: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """The provider with its options, and what takes the nodes that it leaves: CUDA after TensorRT, nothing after the others."""
    graph, tf32, folder = str(int(settings["cuda_graph"])), str(int(settings["tf32"])), settings["engine_cache"]
    if provider == "cuda":
        return [(NAMES["cuda"], {"use_tf32": tf32, "enable_cuda_graph": graph})]
    if provider == "tensorrt":
        cache = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder, "trt_timing_cache_enable": "1", "trt_timing_cache_path": folder}
        # An engine's name in the cache says nothing of TF32.
        cache["trt_engine_cache_prefix"] = "tf32" if settings["tf32"] else "fp32"
        return [(NAMES["tensorrt"], {"trt_cuda_graph_enable": graph, **(cache if folder else {})}), (NAMES["cuda"], {"use_tf32": tf32})]
    if provider == "nv_tensorrt_rtx":
        return [(NAMES["nv_tensorrt_rtx"], {"enable_cuda_graph": graph, **({"nv_runtime_cache_path": folder} if folder else {})})]
    return [(NAMES["cpu"], {})]


def session_on(provider: str, path: Path, options: onnxruntime.SessionOptions, settings: Mapping[str, Any]) -> onnxruntime.InferenceSession:
    """A session of the graph in `path` on the provider. Raises MeasurementError where it can't be opened, or another provider would run it."""
    import onnxruntime

    wanted, is_on_gpu = provider_options(provider, settings), provider != "cpu"
    if is_on_gpu:
        _prepare_gpu(provider, options, tf32=settings["tf32"])
    if provider in PLUGIN:
        options.add_provider_for_devices(_plugin_devices(provider), wanted[0][1])
    try:
        # With its fallback, a failure is tried again on other providers, and the error is that of the second try.
        session = onnxruntime.InferenceSession(str(path), options, enable_fallback=0, **({} if provider in PLUGIN else {"providers": wanted}))
    except failures() as error:
        raise MeasurementError(*refused(path, error)) from error
    if session.get_providers()[0] != NAMES[provider]:
        raise MeasurementError(f"asked for {NAMES[provider]}, ONNX Runtime would run {session.get_providers()[0]}", "harness doctor")
    if is_on_gpu and _tells_placement():
        require_placed(placement(session), provider)
    return session


def _prepare_gpu(provider: str, options: onnxruntime.SessionOptions, *, tf32: bool) -> None:
    """What must be said before a session opens on a GPU. The environment is this process's, which runs one artifact."""
    import onnxruntime

    options.add_session_config_entry("session.record_ep_graph_assignment_info" if _tells_placement() else "session.disable_cpu_ep_fallback", "1")
    if provider in BUILDERS:
        os.environ.pop(TF32_OVERRIDE, None) if tf32 else os.environ.update({TF32_OVERRIDE: "0"})
    if provider not in PLUGIN and hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find; what matters of that fails the session
            onnxruntime.preload_dlls()


def _tells_placement() -> bool:
    """Whether this release (1.24 and later) says which node runs where."""
    import onnxruntime

    return hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info")


def placement(session: onnxruntime.InferenceSession) -> dict[str, Counter[str]]:
    """How many nodes of each operator run on each provider; raises one of `failures` for a session that was not told to record it."""
    found: dict[str, Counter[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        found.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
    return found


def nodes_by_provider(session: onnxruntime.InferenceSession) -> dict[str, int]:
    """How many nodes run on each provider of a session on a GPU; {} on the CPU, which has all, and where the release doesn't tell."""
    if session.get_providers()[0] == NAMES["cpu"] or not _tells_placement():
        return {}
    return {name: nodes.total() for name, nodes in placement(session).items()}


def require_placed(placed: Mapping[str, Counter[str]], provider: str) -> None:
    """Raises MeasurementError where nothing runs on the provider, or more than the arithmetic of shapes on the CPU."""
    if not placed.get(NAMES[provider]):
        raise MeasurementError(f"{NAMES[provider]} takes no node of the graph", "harness doctor; another provider, or another --precision")
    strays = sorted(placed.get(NAMES["cpu"], Counter()).keys() - SHAPE_OPERATORS)
    if strays:
        raise MeasurementError(f"asked for {NAMES[provider]}, ONNX Runtime would run {', '.join(strays)} on the CPU", "another --precision, or --device cpu")


def failures() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: it has a class per kind of failure with no common base but Exception, and two of Python's."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError)


def refused(path: Path, error: Exception) -> tuple[str, str]:
    """What an error of ONNX Runtime on opening `path` says, in one line, and the fix."""
    import onnxruntime

    for pattern, words in _TOO_NEW.items():
        found = re.search(pattern, str(error), re.DOTALL)
        if found:
            seen = words.format(**found.groupdict())
            return (
                f"ONNX Runtime {onnxruntime.__version__} is too old for {path}: {seen}",
                "harness export CHECKPOINT --opset 20, or pip install -U onnxruntime",
            )
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    # Of a long one the end, since it starts with the path and the C++ function.
    return f"ONNX Runtime cannot open {path}: {line if len(line) <= LONGEST else f'... {line[-LONGEST:]}'}", "export it again with `harness export`"
