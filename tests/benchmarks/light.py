"""The light install in a venv of its own: what it takes on disk, how fast it starts, and a bundle profiled in it from end to end."""

from __future__ import annotations

import json
import statistics
import subprocess
import venv
from pathlib import Path
from typing import Any

from harness.cli.main import run
from harness.core.registry import DATASETS
from harness.support.clock import wall_clock
from tests.small_checkpoint import small_checkpoint

ROOT = Path(__file__).parents[2]
STARTS = 15
PROFILE = """
schema: 1
name: light
purpose: a bundle on a light install
runtime: {threads: 1}
sampling: {min_runs: 30, min_seconds: 1, max_seconds: 5}
"""
COMMANDS = {
    "python alone": ["-c", "pass"],
    "import harness": ["-c", "import harness"],
    "harness --help": ["-m", "harness", "--help"],
    "harness table --help": ["-m", "harness", "table", "--help"],
    "harness profile --help": ["-m", "harness", "profile", "--help"],
}


def measure(folder: Path) -> dict[str, Any]:
    """MB on disk of the base install and with ONNX Runtime, seconds to start (median and slowest of 15), packages, and a bundle's record."""
    place = folder / "light"
    venv.create(place, with_pip=True)
    empty = _megabytes(place)
    python = place / "bin" / "python"
    _install(python, str(ROOT))
    base = _megabytes(place)
    _install(python, "onnxruntime")
    whole = _megabytes(place)
    return {
        "installed_mb": {"base": base - empty, "with onnxruntime": whole - empty, "pip and setuptools": empty},
        "packages": _packages(python),
        "start_seconds": {name: _starts(python, words, folder) for name, words in COMMANDS.items()},
        "bundle": _profiled(python, folder),
    }


def _install(python: Path, what: str) -> None:
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", what], check=True, capture_output=True)


def _megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def _packages(python: Path) -> dict[str, str]:
    listed = subprocess.run([str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"], check=True, capture_output=True)
    return {entry["name"]: entry["version"] for entry in json.loads(listed.stdout)}


def _starts(python: Path, words: list[str], folder: Path) -> dict[str, float]:
    seconds = []
    for _ in range(STARTS + 1):
        begin = wall_clock()
        subprocess.run([str(python), *words], check=True, capture_output=True, cwd=folder)
        seconds.append(wall_clock() - begin)
    return {"median": statistics.median(seconds[1:]), "slowest": max(seconds[1:]), "first": seconds[0]}


def _profiled(python: Path, folder: Path) -> dict[str, Any]:
    """A bundle made here and profiled there: its size, and what was measured or why not."""
    spec = DATASETS.load("synthetic")
    spec.prepare(folder / "data" / f"synthetic-{spec.version}-32", lambda done, total, what: None, tile=32)
    checkpoint, data = small_checkpoint(folder / "checkpoint"), ["--root", str(folder / "data")]
    if run(["export", str(checkpoint), "--to", "onnx", *data]) or run(["bundle", str(checkpoint), "--out", str(folder / "b.zip"), *data]):
        raise RuntimeError("the bundle could not be made")
    (folder / "light.yaml").write_text(PROFILE)
    command = [str(python), "-m", "harness", "profile", "b.zip", "--profile", "light.yaml", "--out", "records", "--json"]
    (record,) = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=folder).stdout)
    if run(["records", "import", str(folder / "records"), "--into", str(folder / "home")]):
        raise RuntimeError("the record could not be imported")
    found = record["outcomes"]
    return {
        "model": record["cell"]["model"],
        "bundle_mb": (folder / "b.zip").stat().st_size / 1e6,
        "tiles": record["detail"]["bundle"]["tiles"],
        "measured": {item["quantity"]: statistics.median(item["samples"]) for item in found if item["kind"] == "measured"},
        "missing": {item["quantity"]: item["reason"] for item in found if item["kind"] == "missing"},
    }
