"""Models that another project trained, as networks and checkpoint folders of ours."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
from harness.core.artifact import CHECKPOINT_FILE, UNKNOWN_DATA, WEIGHTS_FILE, Checkpoint, DataUse, Preprocessing
from harness.core.errors import CheckpointError, ConfigError
from harness.core.files import atomic_folder, sha256_of_file, write_value
from harness.core.specs import Band, DatasetSpec
from harness.support import pangaea
from harness.support.model import SegmentationModel, build_model, input_size_for, specs_of, split_name
from harness.support.named_bands import default_bands
from harness.support.pangaea_decoders import require_known
from harness.support.pangaea_encoders import bands_of, options_for
from harness.support.weights_file import write_tensors

SOURCES = ("pangaea",)
#: Side in pixels that an encoder without a size of its own is built at; it takes any other size too.
FLEXIBLE_SIZE = 512


@dataclass(frozen=True)
class Facts:
    """What a file doesn't say of its model. None: the encoder's own bands and size, the file's number of classes, no normalization."""

    model: str
    num_classes: int | None = None
    bands: Sequence[str | Band] | None = None
    input_size: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    decoder_options: Mapping[str, Any] = field(default_factory=dict)
    fill_missing: bool = False
    classes: Sequence[str] | None = None
    ignore_index: int | None = None
    regime: str = "imported"
    seed: int = 0
    label_fraction: float = 1.0
    data: DatasetSpec | None = None
    wavelengths: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """A network in eval mode on the CPU, what it was built with, and the account of the file's tensors."""

    network: SegmentationModel
    facts: Facts
    bands: tuple[Band, ...]
    input_size: int
    encoder_options: Mapping[str, Any]
    decoder_options: Mapping[str, Any]
    report: Mapping[str, Any]


def imported(path: Path, facts: Facts, *, source: str = "pangaea") -> Imported:
    """The trained network in a file of `source`.

    Raises ConfigError, UnknownNameError, and CheckpointError naming every tensor that is missing, extra or of another shape.
    """
    if facts.data is not None and facts.num_classes not in (None, facts.data.num_classes):
        raise ConfigError(f"data set {facts.data.name} has {facts.data.num_classes} classes, asked for are {facts.num_classes}", "leave one of them out")
    if source not in SOURCES:
        raise ConfigError(f"models are imported from {' or '.join(SOURCES)}, got {source!r}", "--from pangaea")
    spec, _ = specs_of(facts.model)
    decoder = split_name(facts.model)[1]
    require_known(decoder)
    training = pangaea.read_training(path)
    pangaea.require_model(facts.model, training)
    classes = _num_classes(training, facts)
    options = {**options_for(spec.name, training.encoder), **facts.encoder_options}
    decoder_options = {**training.decoder_options(decoder), **facts.decoder_options}
    bands = _bands(facts) or default_bands(spec, options)
    mean, std = (_statistics(word, given, len(bands)) for word, given in (("mean", _of_data(facts, "mean")), ("std", _of_data(facts, "std"))))
    if (mean is None) != (std is None):
        given, other = ("mean", "std") if std is None else ("std", "mean")
        raise ConfigError(f"--{given} is known and --{other} is not, but pixels are normalized by both", f"give --{other}, one value per band")
    input_size = input_size_for(spec, spec.input_size or FLEXIBLE_SIZE, facts.input_size)
    network = build_model(
        facts.model,
        bands=bands,
        num_classes=classes,
        input_size=input_size,
        mean=mean,
        std=std,
        encoder_options=options,
        decoder_options=decoder_options,
        fill_missing=facts.fill_missing,
    )
    report = pangaea.load_training(network, facts.model, training)
    return Imported(network.eval(), facts, bands, input_size, options, decoder_options, report)


def _num_classes(training: pangaea.Training, facts: Facts) -> int:
    """The file's number of classes, which must be the one that is given; the given one where the file holds another decoder."""
    found = training.classes(split_name(facts.model)[1])
    given = len(facts.data.classes) if facts.data else facts.num_classes
    if found is None or given is None or given == found:
        return found or given or 2
    whose = f"data set {facts.data.name} has" if facts.data else "asked for are"
    fix = f"--classes {found}" if facts.data is None else f"leave --data out, and give --bands and --classes {found}"
    raise CheckpointError(f"{training.source} tells {found} classes apart, {whose} {given}", fix)


def _bands(facts: Facts) -> tuple[Band, ...]:
    if facts.data is not None:
        return facts.data.bands
    return bands_of(split_name(facts.model)[0], facts.bands, facts.wavelengths) if facts.bands is not None else ()


def _of_data(facts: Facts, word: str) -> Sequence[float] | None:
    given: Sequence[float] | None = getattr(facts, word)
    return getattr(facts.data, word) if given is None and facts.data is not None else given


def _statistics(word: str, values: Sequence[float] | None, bands: int) -> tuple[float, ...] | None:
    """One value per band; None where nothing is known. Raises ConfigError for another number of them, a std of 0, NaN and infinity."""
    if values is None:
        return None
    if len(values) != bands:
        raise ConfigError(f"--{word} has {len(values)} values for {bands} bands", f"give --{word} one value per band, in the order of the bands")
    if not all(map(math.isfinite, values)):
        raise ConfigError(f"--{word} is numbers, got {', '.join(map(str, values))}", f"give the {word} of every band")
    if word == "std" and not all(value > 0 for value in values):
        raise ConfigError(f"--std divides, so each value is above 0, got {', '.join(map(str, values))}", "give the standard deviation of every band")
    return tuple(map(float, values))


def write_imported(out: Path, path: Path, found: Imported, *, source: str = "pangaea") -> Checkpoint:
    """Write the checkpoint folder `out` whole or not at all. Raises HarnessError when it can't be written."""
    with atomic_folder(out) as folder:
        write_tensors(folder / WEIGHTS_FILE, found.network.state_dict())
        checkpoint = _checkpoint(path, found, sha256_of_file(folder / WEIGHTS_FILE), source)
        write_value(folder / CHECKPOINT_FILE, checkpoint)
    return checkpoint


def _checkpoint(path: Path, found: Imported, weights_sha256: str, source: str) -> Checkpoint:
    facts, data, network = found.facts, found.facts.data, found.network
    mean, std = (tuple(values.flatten().tolist()) for values in (network.mean, network.std))
    classes = data.classes if data else tuple(facts.classes or ())
    count = network.decoder.classify.out_channels  # type: ignore[union-attr]
    return Checkpoint(
        model=facts.model,
        encoder_options=dict(found.encoder_options),
        decoder_options=dict(found.decoder_options),
        bands=found.bands,
        zero_filled=network.band_plan.zero_filled,
        classes=classes or tuple(f"class {number}" for number in range(count)),  # type: ignore[arg-type]
        input_size=found.input_size,
        ignore_index=data.ignore_index if data else facts.ignore_index,
        preprocessing=Preprocessing(mean=mean, std=std),
        dataset=DataUse(name=data.name, version=data.version, gsd_m=data.gsd_m, tile=data.tile) if data else DataUse(name=UNKNOWN_DATA, version=""),
        regime=facts.regime,
        seed=facts.seed,
        label_fraction=facts.label_fraction,
        initial_weights={"source": source, "file": path.name, "sha256": sha256_of_file(path), "normalization": normalization_of(facts), **found.report},
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        weights_sha256=weights_sha256,
        code={"harness": harness.__version__},
        versions={"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in ("torch", "timm", "numpy")}},
    )


def normalization_of(facts: Facts) -> str:
    """Where mean and std come from."""
    if facts.mean is not None or facts.std is not None:
        return "given"
    return f"statistics of {facts.data.name} {facts.data.version}" if facts.data else "unknown: pixels are taken as they are"
