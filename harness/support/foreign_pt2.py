"""What a `.pt2` file of torch.export says of itself, read from the JSON in its archive without torch and without running anything."""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.errors import MeasurementError
from harness.core.specs import TensorSpec
from harness.support.foreign_facts import FileFacts

#: `ScalarType` of torch/csrc/export/pt2_archive: the codes of its schema.
_DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 12: "bool", 13: "bfloat16"}
#: What a symbolic size may be made of: torch evaluates these texts as Python, so nothing else is let through.
_SYMBOLS = re.compile(
    r"(Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Abs|Eq|Ne|Lt|Le|Gt|Ge|Equality|Unequality|(Strict)?(Less|Greater)Than|And|Or|Not|true|false"
    r"|True|False|(Floor|Clean|Ceil|IntTrue|FloatTrue)Div|(Python)?Mod|ModularIndexing|Where|(Ceil|Floor|Trunc|Round)ToInt|TruncToFloat|ToFloat"
    r"|RoundDecimal|[LR]Shift|PowByNatural|FloatPow|Identity|positive|integer|nonnegative|precision|[su][0-9]+)"
)
_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
LARGEST_GRAPH = 512 * 2**20
_GRAPH = "models/model.json"
#: Records that torch.export.load runs: shared libraries, and pickles of whatever objects.
_CODE = ("data/aotinductor/", "data/constants/custom_obj_", "data/constants/opaque_obj_")


def read_pt2(path: Path) -> FileFacts:
    """Inputs, outputs, parameters and precision. Raises MeasurementError for anything that is not such an archive."""
    try:
        graph, signature = _graph(path)
        values = graph["tensor_values"]
        specs = signature["input_specs"]
        inputs = tuple(_spec(_tensor_name(entry["user_input"]["arg"]), values) for entry in specs if "user_input" in entry)
        outputs = tuple(_spec(_tensor_name(entry["user_output"]["arg"]), values) for entry in signature["output_specs"] if "user_output" in entry)
        weights = [_spec(entry["parameter"]["arg"]["name"], values) for entry in specs if "parameter" in entry]
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        hint = "write it with torch.export.save(torch.export.export(...), path)"
        raise MeasurementError(f"{path} is not a readable .pt2 archive of torch.export: {error}", hint) from error
    sizes = {_PRECISIONS.get(spec.dtype, spec.dtype): 0 for spec in weights}
    for spec in weights:
        sizes[_PRECISIONS.get(spec.dtype, spec.dtype)] += _numel(spec)
    return FileFacts(
        inputs=inputs,
        outputs=outputs,
        parameters=sum(sizes.values()),
        precision=max(sizes, key=sizes.__getitem__, default="fp32"),
        files=(),
        facts={},
    )


def graph_entry(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The record of the graph. Raises ValueError where there is none, or several, and for records that would be run."""
    # Without the archive's own name, and in lower case, as torch finds records.
    entries = [(info.filename.partition("/")[2].lower(), info) for info in archive.infolist()]
    code = next((name for name, _ in entries if name.startswith(_CODE)), None)
    if code:
        raise ValueError(f"{code[:80]!r} would be run; refused")
    graphs = {name: info for name, info in entries if name.startswith("models/")}
    if list(graphs) != [_GRAPH] or len(entries) != len(dict(entries)):
        raise ValueError(f"it holds {', '.join(graphs)[:80] or 'no graph'}, wanted {_GRAPH} alone, and each record once")
    return graphs[_GRAPH]


def _graph(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        entry = graph_entry(archive)
        if entry.file_size > LARGEST_GRAPH:
            raise ValueError(f"a graph of {entry.file_size} bytes")
        text = archive.read(entry)
    module = json.loads(text, object_hook=_checked)["graph_module"]
    return module["graph"], module["signature"]


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    """A part of the graph. Raises ValueError for a size expression that is more than arithmetic on symbols."""
    expression = found.get("expr_str")
    if isinstance(expression, str):
        words = re.findall(r"[A-Za-z_][A-Za-z_0-9]*", expression)
        if not all(_SYMBOLS.fullmatch(word) for word in words) or not re.fullmatch(r"[-A-Za-z0-9_ ,.=+*/()'\"]*", expression):
            raise ValueError(f"the size {expression[:80]!r} is not arithmetic on symbols; refused")
    return found


def _tensor_name(argument: Mapping[str, Any]) -> str:
    return str(argument["as_tensor"]["name"])


def _spec(name: str, values: Mapping[str, Any]) -> TensorSpec:
    meta = values[name]
    shape = tuple(int(side["as_int"]) if "as_int" in side else str(side["as_expr"]["expr_str"]) for side in meta["sizes"])
    return TensorSpec(name=name, shape=shape, dtype=_DTYPES.get(meta["dtype"], "unknown"))


def _numel(spec: TensorSpec) -> int:
    return math.prod(side for side in spec.shape if isinstance(side, int))
