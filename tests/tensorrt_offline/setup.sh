#!/usr/bin/env bash
# Makes DIR an import root with a `tensorrt` 11.4 package that parses ONNX and builds plans on a machine without a GPU:
#   PYTHON=python setup.sh DIR && PYTHONPATH=DIR python -c "import tensorrt as trt; print(trt.__version__)"
# The Python API and the ONNX parser are the real ones; the builder is TensorRT-RTX's, which compiles ahead of time on the CPU. So it
# answers "does our exporter call the API rightly, does the graph parse, does a plan build". It cannot run a plan, and neither its plans
# nor its timings stand for TensorRT's. Needs gcc and pip; downloads about 150 MB once.
set -euo pipefail
dir=${1:?usage: setup.sh DIR}; here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
[ -f "$dir/.ready" ] && exit 0
"${PYTHON:-python3}" -m pip install -q --no-deps --target "$dir" tensorrt-cu13-bindings==11.4.0.106 onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0
rtx=$dir/onnxruntime_ep_nv_tensorrt_rtx libs=$dir/tensorrt_libs
mkdir -p "$libs" "$dir/tensorrt"
ln -sf "$rtx"/libtensorrt_rtx.so.1.* "$libs/libtensorrt_rtx.so.1"
ln -sf "$rtx"/libtensorrt_onnxparser_rtx.so.1.* "$libs/libtensorrt_onnxparser_rtx.so.1"
for name in libnvinfer libnvonnxparser libnvinfer_plugin; do
  gcc -shared -fPIC -O1 -Wl,-soname,$name.so.11 -o "$libs/$name.so.11" "$here/shim.c" -ldl
done
cat > "$libs/__init__.py" <<'PY'
"""Loads the TensorRT-RTX libraries and the shims that the TensorRT bindings link to."""
import ctypes
from pathlib import Path

for _name in ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1", "libnvinfer.so.11", "libnvonnxparser.so.11", "libnvinfer_plugin.so.11"):
    ctypes.CDLL(str(Path(__file__).parent / _name), mode=ctypes.RTLD_GLOBAL)
PY
printf '%s\n' 'from tensorrt_bindings import *' 'from tensorrt_bindings import __version__' > "$dir/tensorrt/__init__.py"
touch "$dir/.ready"
