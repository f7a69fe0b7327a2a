"""`python -m tests.zoo_check`: check all models one by one and write docs/zoo.json and docs/zoo.md.

Finished models are kept in runs/zoo, so a run that was stopped goes on where it was; those that failed are tried again. `--fresh` forgets
them, `--page` only writes the page again from docs/zoo.json, `--precisions` only makes the plans in every precision and the page.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.files import write_atomic
from harness.support.clock import utc_now, wall_clock
from tests.tensorrt_offline import VERSIONS
from tests.zoo_check.page import page

KEPT = Path("runs/zoo")
DATA, PAGE = Path("docs/zoo.json"), Path("docs/zoo.md")
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "timm", "torchgeo", "terratorch", "open_clip_torch", "torchvision")


def main(arguments: list[str]) -> int:
    """Exit code 1 where a model does not export or a plan isn't built; a plan that is skipped is no failure."""
    found = json.loads(DATA.read_text()) if DATA.is_file() else {}
    if "--fresh" in arguments:
        shutil.rmtree(KEPT, ignore_errors=True)
    if not {"--page", "--precisions"} & set(arguments):
        found |= {"created": utc_now(), "machine": _machine(), "versions": _versions(), "models": _rows()}
        write_atomic(DATA, json.dumps(found, indent=1) + "\n")
    if "--page" not in arguments:
        found["precisions"] = {"created": utc_now(), "versions": _versions(), "plans": _plans()}
        write_atomic(DATA, json.dumps(found, indent=1) + "\n")
    _say(f"{write_atomic(PAGE, page(found))}\n")
    plans = [plan for row in found["precisions"]["plans"].values() for plan in row.values()]
    return 0 if all(_is_good(row) for row in found["models"]) and all(map(_is_planned, plans)) else 1


def _plans() -> dict[str, dict[str, Any]]:
    """What TensorRT said, by model and precision."""
    from tests.zoo_check.models import zoo
    from tests.zoo_check.precisions import PAIRS, PRECISIONS, plans

    answers: dict[str, dict[str, Any]] = {}
    for name in PAIRS:
        path = KEPT / f"{name}--precisions.json"
        known = json.loads(path.read_text()) if path.is_file() else {}
        if known.keys() != set(PRECISIONS) or not all(map(_is_planned, known.values())):
            known = {}
            with tempfile.TemporaryDirectory(prefix="zoo-", dir=_folder()) as folder:
                for precision, plan in plans(zoo()[name], Path(folder)):
                    known[precision] = plan
                    _say(f"{name} {precision}: {plan['status']} {plan['reason']} {plan.get('seconds', 0):.0f} s\n")
            write_atomic(path, json.dumps(known))
        answers[name] = known
    return answers


def _rows() -> list[dict[str, Any]]:
    from tests.zoo_check.check import checked
    from tests.zoo_check.models import facts_of, zoo

    rows, models = [], zoo()
    for left in KEPT.glob("zoo-*/"):
        shutil.rmtree(left)
    for done, (name, model) in enumerate(models.items(), 1):
        _say(f"{done}/{len(models)} {name} ... ")
        start, row = wall_clock(), _kept(name)
        if row is None:
            with tempfile.TemporaryDirectory(prefix="zoo-", dir=_folder()) as folder:
                row = checked(model, Path(folder))
            write_atomic(KEPT / f"{name}.json", json.dumps(row))
        rows.append(row)
        _say(f"{_said(row)} {wall_clock() - start:.0f} s\n")
    return [{**facts_of(model), **row} for model, row in zip(models.values(), rows, strict=True)]


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _folder() -> Path:
    KEPT.mkdir(parents=True, exist_ok=True)
    return KEPT


def _kept(name: str) -> dict[str, Any] | None:
    path = KEPT / f"{name}.json"
    row: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
    return row if row is not None and _is_good(row) else None


def _is_good(row: Mapping[str, Any]) -> bool:
    return bool(row["export"]["ok"]) and _is_planned(row["plan"])


def _is_planned(plan: Mapping[str, Any]) -> bool:
    return plan["status"] in ("built", "skipped")


def _said(row: Mapping[str, Any]) -> str:
    export, plan = row["export"], row["plan"]
    parity = f"parity {max(export['parity'].values()):.1e}," if "parity" in export else f"{export['reason']},"
    return f"{parity} plan {plan['status']}{': ' + plan['reason'] if plan['reason'] else ''},"


def _machine() -> dict[str, Any]:
    from harness.profiling.environment import environment

    return environment(1).model_dump(mode="json", include={"cpu", "cores", "memory", "python"}) | {"os": platform.system()}


def _versions() -> dict[str, str]:
    return {**{name: importlib.metadata.version(name) for name in PACKAGES}, **VERSIONS}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
