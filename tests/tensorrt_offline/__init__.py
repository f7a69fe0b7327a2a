"""TensorRT 11's Python API, its ONNX parser and an ahead-of-time builder on a machine without a GPU, set up in the cache folder.

The builder is TensorRT-RTX's, reached through the shim that `setup.sh` compiles: it answers whether a graph parses and whether a plan builds.
It runs no plan, and neither its plans nor its seconds stand for TensorRT's.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.core.files import cache_folder

HERE = Path(__file__).parent
#: As `setup.sh` pins them; a new version gets a folder of its own.
VERSIONS: Mapping[str, str] = {"tensorrt-cu13-bindings": "11.4.0.106", "onnxruntime-ep-nv-tensorrt-rtx-cu13": "0.5.0"}
SETUP_SECONDS = 600


class UnavailableError(Exception):
    """TensorRT can't be set up here; the message has the reason."""


def import_root() -> Path:
    """A folder that gives `import tensorrt` to a process with it in PYTHONPATH; made on the first call (about 150 MB). Raises UnavailableError."""
    _require_platform()
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    root = cache_folder() / "tensorrt_offline" / "-".join([python, *VERSIONS.values()])
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / ".ready").is_file():
            shutil.rmtree(root, ignore_errors=True)
            _succeed(["bash", str(HERE / "setup.sh"), str(root)], {"PYTHON": sys.executable})
    _succeed([sys.executable, "-c", "import tensorrt"], {"PYTHONPATH": str(root)})
    return root


def _require_platform() -> None:
    found = f"{platform.system()} {platform.machine()}"
    if found != "Linux x86_64":
        raise UnavailableError(f"TensorRT-RTX's package is for Linux x86_64, this is {found}")
    for tool in ("bash", "gcc"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"no {tool} here, which sets up the shim")


def _succeed(command: list[str], settings: Mapping[str, str]) -> None:
    try:
        subprocess.run(command, env={**os.environ, **settings}, check=True, capture_output=True, text=True, timeout=SETUP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{Path(command[0]).name} {Path(command[1]).name} took more than {SETUP_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        raise UnavailableError(f"{Path(command[0]).name} {Path(command[1]).name} failed: {lines[-1].strip() if lines else error}") from error
