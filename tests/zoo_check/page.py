"""docs/zoo.md out of docs/zoo.json: text alone, nothing is run or looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HEAD = (
    "model",
    "license",
    "bands",
    "input",
    "params M (encoder)",
    "GMAC (encoder)",
    "ONNX",
    "parity, batch {batches}",
    "TensorRT plan",
    "export s",
    "MB",
    "peak GB",
)
TITLE = """# The zoo: every model of Cryo-Bench, exported

Written by `make zoo-check` from [zoo.json](zoo.json); don't edit it by hand.

Each pair got fresh weights, went through `harness export --to onnx` and was run again in ONNX Runtime. Its graph was then given to
TensorRT's ONNX parser and to TensorRT-RTX's ahead-of-time builder, on a machine without a GPU: that shows that a plan can be made, not how fast it is.
"""
NOTES = """
- **params**, **GMAC**: of two classes, one input; 1e9 multiply-adds by PyTorch's flop counter on the meta device, the encoder's share in brackets.
- **parity**: the largest difference of a logit between ONNX Runtime on the CPU (fp32) and the network of the checkpoint, relative to the largest
  logit. The graph was traced with batch 2 and has a dynamic batch; it is run with batches {batches}. At most 1e-4 is allowed.
- **TensorRT plan**: *built*: a plan for batches 1 to 4; *parsed*: the graph is accepted, no plan; else why not. No plan is run.
- **export s**: wall clock of export and the exporter's own checks, on a machine that did other work too; **peak GB**: memory of that process and the
  comparison after it; **MB**: the artifact.
"""


def page(found: Mapping[str, Any]) -> str:
    """The Markdown page of all rows, with machine and versions on top."""
    models = found["models"]
    batches = " and ".join(_batches(models))
    head = [cell.format(batches=" / ".join(_batches(models))) for cell in HEAD]
    lines = [TITLE, *_about(found), "", _row(head), _row(["---"] * 4 + ["--:"] * 2 + ["---"] * 3 + ["--:"] * 3)]
    lines += [_row(_cells(model)) for model in models]
    return "\n".join([*lines, NOTES.format(batches=batches), *_plans(found.get("precisions")), "## Sources and notes", "", *_remarks(models), ""])


def _plans(found: Mapping[str, Any] | None) -> Iterator[str]:
    """The section on plans by precision; nothing where none were made."""
    if not found:
        return
    precisions = list(next(iter(found["plans"].values())))
    yield from ("## TensorRT plans by precision", "")
    yield f"{found['created'][:10]}. The graphs as `harness export` lowers them, at full size; ranges of int8 from two random images."
    yield from ("", _row(["model", *precisions]), _row(["---"] * (1 + len(precisions))))
    for name, plans in found["plans"].items():
        yield _row([name, *(_said_of_plan(plans[precision]) for precision in precisions)])
    yield ""


def _about(found: Mapping[str, Any]) -> Iterator[str]:
    machine = found["machine"]
    memory = f"{machine['memory'] / 2**30:.0f} GiB"
    yield f"{found['created'][:10]}, {machine['cpu']}, {machine['cores']} cores, {memory}, {machine['os']}, Python {machine['python']}."
    yield ", ".join(f"{name} {version}" for name, version in found["versions"].items()) + "."


def _batches(models: Sequence[Mapping[str, Any]]) -> list[str]:
    return next((list(model["export"]["parity"]) for model in models if "parity" in model["export"]), [])


def _cells(model: Mapping[str, Any]) -> tuple[str, ...]:
    export = model["export"]
    return (
        model["model"],
        model["license"],
        str(len(model["bands"])),
        f"{model['size']} px",
        f"{model['params'] / 1e6:.2f} ({model['params_encoder'] / 1e6:.2f})",
        f"{model['macs'] / 1e9:.2f} ({model['macs_encoder'] / 1e9:.2f})",
        f"yes, opset {export['opset']}" if export["ok"] else f"no: {export['reason']}",
        " / ".join(f"{error:.1e}" for error in export.get("parity", {}).values()) or "-",
        _said_of_plan(model["plan"]),
        _said(export.get("seconds"), 1, 0),
        _said(export.get("size"), 1e6, 1),
        _said(export.get("peak_memory"), 1e9, 1),
    )


def _said_of_plan(plan: Mapping[str, Any]) -> str:
    if plan["status"] == "built":
        return f"built, {plan['plan_bytes'] / 1e6:.0f} MB, {plan['seconds']:.0f} s"
    return f"{plan['status']}: {plan['reason']}"


def _said(figure: float | None, unit: float, digits: int) -> str:
    return "-" if figure is None else f"{figure / unit:.{digits}f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _remarks(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for model in models:
        note = f"; {model['note']}" if model["note"] else ""
        yield f"- `{model['model']}`: {model['source']}; bands {', '.join(model['bands'])}{note}"
