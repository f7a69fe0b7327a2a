"""A model that was not trained here, as an Artifact: an ONNX file, or a `.pt2` of torch.export. One that takes no image has the size 1.

Its Checkpoint is made up of what the file says (regime "foreign"). A file that can't be read or that is refused gives an artifact
whose option "refused" is the reason, so that profiling it is one failed row, and the run goes on.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.artifact import FOREIGN, Artifact, Checkpoint, DataUse, Preprocessing
from harness.core.errors import ConfigError, DataError, MeasurementError
from harness.core.files import sha256_of_file, sha256_of_text
from harness.core.registry import missing_package
from harness.core.specs import Band, DatasetSpec, Task, TensorSpec
from harness.support.foreign_facts import FileFacts
from harness.support.layout import LAYOUT, REFUSED

FORMATS = {".onnx": "onnx", ".pt2": "pt2"}
BATCH = "batch"
#: More bands than this in an image are not plausible, so the other side is that of the bands.
MOST_BANDS = 512
#: As many bands or fewer are no side of an image that has more on the other side.
FEW_BANDS = 32


@dataclass(frozen=True)
class Foreign:
    """An artifact with the batch (None: any) and the side of its image input (None: it takes no image)."""

    artifact: Artifact
    batch: int | None
    tile: int | None


@dataclass(frozen=True)
class Wishes:
    """What the file leaves open: shapes by input name ("" for the only input), layout, normalization, the data set to score on."""

    shapes: Mapping[str, tuple[int, ...]]
    layout: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    tile: int | None = None
    data: DatasetSpec | None = None


def is_foreign_file(path: Path) -> bool:
    return path.suffix in FORMATS and not path.is_dir()


def sha256_of_model(path: Path) -> str:
    """Hash of a model's file with its external weights, as its records have it; of the file alone where they can't be read."""
    external: tuple[Path, ...] = ()
    if path.suffix == ".onnx":
        with contextlib.suppress(MeasurementError):
            external = _read(path).files
    return _sha256((path, *external))


def _sha256(files: Sequence[Path]) -> str:
    hashes = [sha256_of_file(file) for file in files]
    return hashes[0] if len(hashes) == 1 else sha256_of_text(" ".join(hashes))


def shapes_from(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`image=1x3x224x224` by input name; without a name it is the only input's. Raises ConfigError."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, sides = text.rpartition("=")
        if not re.fullmatch(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8})*", sides):
            raise ConfigError(f"a shape is NAME=1x3x224x224, got {text!r}", "--shape image=1x3x224x224")
        shapes[name] = tuple(map(int, sides.split("x")))
    return shapes


def foreign(path: Path, wishes: Wishes) -> Foreign:
    """The file as an artifact with every side but the batch fixed.

    Raises ConfigError where a side is open and no wish settles it, DataError where the data set doesn't fit, UnavailableError where
    the package that reads the format is missing.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist", "give a .onnx or a .pt2 file")
    path = path.resolve()
    try:
        facts = _read(path)
    except MeasurementError as error:
        return Foreign(_artifact(path, FileFacts(), (), wishes, None, {REFUSED: error.message}), None, None)
    why = _refusal(facts)
    if why:
        return Foreign(_artifact(path, FileFacts(), (), wishes, None, {REFUSED: why}), None, None)
    unknown = set(wishes.shapes) - {spec.name for spec in facts.inputs} - {""}
    if unknown or ("" in wishes.shapes and len(facts.inputs) != 1):
        names = ", ".join(spec.name for spec in facts.inputs)
        raise ConfigError(f"{path.name} has the inputs {names}, not {', '.join(sorted(unknown)) or 'only one'}", f"--shape {facts.inputs[0].name}=1x3x224x224")
    layout = _layout(facts, wishes, path)
    inputs = tuple(_settled(spec, index, layout, wishes, path) for index, spec in enumerate(facts.inputs))
    side = _side(inputs, layout)
    _require_fit(path, inputs, facts.outputs, layout, side, wishes)
    batch = inputs[0].shape[0] if inputs and inputs[0].shape else 1
    wished = wishes.shapes.get(facts.inputs[0].name, wishes.shapes.get("")) if facts.inputs else None
    options = {LAYOUT: layout} if layout else {}
    artifact = _artifact(path, facts, inputs, wishes, side, options)
    return Foreign(artifact, batch if isinstance(batch, int) else wished[0] if wished else None, side[0] if side else None)


def _refusal(facts: FileFacts) -> str:
    """Why a file that can be read is not run, "" where it is: a call is timed by what goes into it."""
    if not facts.inputs:
        return "it takes no input"
    odd = [spec for spec in facts.inputs if not re.fullmatch(r"(float|int|uint)(8|16|32|64)|bool", spec.dtype)]
    return f"input {odd[0].name} is of type {odd[0].dtype}" if odd else ""


def _read(path: Path) -> FileFacts:
    try:
        if path.suffix == ".onnx":
            from harness.support.foreign_onnx import read_onnx as read
        else:
            from harness.support.foreign_pt2 import read_pt2 as read
    except ModuleNotFoundError as error:
        raise missing_package(f"reading {path.name}", error) from error
    return read(path)


def _layout(facts: FileFacts, wishes: Wishes, path: Path) -> str | None:
    """Where the bands of the first input are: as wished, as many as the data set's, or where its shape says. None where it is no image.

    Raises ConfigError where the shape may be read either way.
    """
    if not facts.inputs or len(_wished(facts.inputs[0], wishes)) != 4:
        return None
    if wishes.layout:
        return wishes.layout
    shape = _wished(facts.inputs[0], wishes)
    _, second, third, last = shape
    if wishes.data and second != last and len(wishes.data.bands) in (second, last):
        return "NCHW" if second == len(wishes.data.bands) else "NHWC"
    if second != last and third in (second, last):  # an image is mostly square
        return "NCHW" if third == last else "NHWC"
    if not isinstance(second, int) or not isinstance(last, int):
        return "NHWC" if isinstance(last, int) and last <= MOST_BANDS else "NCHW"
    fewest, most = sorted((second, last))
    if most > MOST_BANDS or fewest <= FEW_BANDS < most:
        return "NCHW" if second == fewest else "NHWC"
    sides = "x".join(map(str, shape))
    raise ConfigError(f"input {facts.inputs[0].name} of {path.name} has the shape {sides}: bands may come first or last", "--layout NCHW or --layout NHWC")


def _wished(spec: TensorSpec, wishes: Wishes) -> tuple[int | str, ...]:
    """The shape with what `--shape` says filled in. Raises ConfigError where it contradicts the file."""
    wished = wishes.shapes.get(spec.name, wishes.shapes.get(""))
    if wished is None:
        return spec.shape
    fits = len(wished) == len(spec.shape) and all(not isinstance(own, int) or own == side for own, side in zip(spec.shape, wished, strict=True))
    if not fits:
        raise ConfigError(f"input {spec.name} has the shape {'x'.join(map(str, spec.shape))}, not {'x'.join(map(str, wished))}", "change --shape")
    return wished


def _settled(spec: TensorSpec, index: int, layout: str | None, wishes: Wishes, path: Path) -> TensorSpec:
    """The input with all sides but an open batch fixed."""
    sides = list(_wished(spec, wishes))
    if sides and not isinstance(spec.shape[0], int):
        sides[0] = BATCH
    for place in range(1, len(sides)):
        if isinstance(sides[place], int):
            continue
        found = _open_side(place, layout, wishes) if index == 0 and len(sides) == 4 else None
        if found is None:
            example = "x".join(str(side) if isinstance(side, int) else "1" if at == 0 else "224" for at, side in enumerate(sides))
            raise ConfigError(f"input {spec.name} of {path.name} has the shape {'x'.join(map(str, spec.shape))}", f"--shape {spec.name}={example}")
        sides[place] = found
    return TensorSpec(name=spec.name, shape=tuple(sides), dtype=spec.dtype)


def _open_side(place: int, layout: str | None, wishes: Wishes) -> int | None:
    """What an open side of an image is: the data set's bands, the profile's or the data set's tile."""
    if place == (3 if layout == "NHWC" else 1):
        return len(wishes.data.bands) if wishes.data else None
    return wishes.tile or (wishes.data.tile if wishes.data else None)


def _side(inputs: tuple[TensorSpec, ...], layout: str | None) -> tuple[int, int] | None:
    """(H, W) of the image."""
    if layout is None:
        return None
    shape = inputs[0].shape
    height, width = (shape[1], shape[2]) if layout == "NHWC" else (shape[2], shape[3])
    return int(height), int(width)


def _bands(inputs: tuple[TensorSpec, ...], layout: str | None) -> int:
    return int(inputs[0].shape[3 if layout == "NHWC" else 1]) if layout else 0


def _classes(outputs: tuple[TensorSpec, ...], side: tuple[int, int] | None) -> tuple[Task, int]:
    """The task and the number of classes (0: the file doesn't say): a map of the image's rank segments, anything else classifies."""
    if not outputs:
        return "segmentation", 0
    shape = outputs[0].shape
    if len(shape) == 4 and shape[2:] != (1, 1):
        last = side is not None and shape[1:3] == side
        count = shape[3] if last else shape[1]
        return "segmentation", count if isinstance(count, int) else 0
    if len(shape) == 3 and side is not None and shape[1:] == side:
        return "segmentation", 0
    return "classification", shape[1] if len(shape) > 1 and isinstance(shape[1], int) else 0


def _require_fit(
    path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], layout: str | None, side: tuple[int, int] | None, wishes: Wishes
) -> None:
    """Raises DataError where the model can't be scored on the data set."""
    data = wishes.data
    if data is None:
        return
    task, classes = _classes(outputs, side)
    if len(inputs) != 1 or layout is None or side is None or side[0] != side[1]:
        raise DataError(f"{path.name} does not take one square image, so {data.name} can't be fed to it", "omit --data, and give --shape")
    if _bands(inputs, layout) != len(data.bands):
        raise DataError(f"{data.name} has {len(data.bands)} bands, {path.name} takes {_bands(inputs, layout)}", "choose --data, or omit it")
    if task != data.task or classes not in (0, len(data.classes)):
        raise DataError(f"{data.name} is for {data.task} into {len(data.classes)} classes, {path.name} for {task} into {classes or '?'}", "choose --data")


def _artifact(path: Path, facts: FileFacts, inputs: tuple[TensorSpec, ...], wishes: Wishes, side: tuple[int, int] | None, options: dict[str, str]) -> Artifact:
    files = (path, *facts.files)
    sha256 = _sha256(files)
    layout = options.get(LAYOUT)
    task, classes = _classes(facts.outputs, side)
    bands = wishes.data.bands if wishes.data else tuple(Band(name=f"band {number}", sensor="unknown") for number in range(_bands(inputs, layout)))
    mean, std = (tuple(values) * (len(bands) if len(values) == 1 else 1) for values in (wishes.mean or (0.0,), wishes.std or (1.0,)))
    if bands and {len(mean), len(std)} != {len(bands)}:
        raise ConfigError(f"{path.name} takes {len(bands)} bands, --mean has {len(mean)} values and --std {len(std)}", "give one value, or one per band")
    checkpoint = Checkpoint(
        model=path.stem,
        task=task,
        bands=bands,
        classes=wishes.data.classes if wishes.data else tuple(f"class {number}" for number in range(classes)),
        input_size=side[0] if side else 1,
        ignore_index=wishes.data.ignore_index if wishes.data else None,
        preprocessing=Preprocessing(mean=mean, std=std),
        dataset=DataUse(name="unknown", version=""),
        regime=FOREIGN,
        parameters=facts.parameters,
        weights_sha256=sha256,
    )
    return Artifact(
        format=FORMATS[path.suffix],
        precision=facts.precision,
        file=path.name,
        sha256=sha256,
        size=sum(file.stat().st_size for file in files),
        inputs=inputs,
        outputs=facts.outputs,
        checkpoint=checkpoint,
        checkpoint_sha256=checkpoint.sha256,
        options={**options, **facts.facts},
    )
