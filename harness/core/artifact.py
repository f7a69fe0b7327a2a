"""Trained weights with their facts (Checkpoint) and the runnable file made from them (Artifact)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.core.errors import CheckpointError, ConfigError
from harness.core.files import canonical_json, read_value, sha256_of_file, sha256_of_text
from harness.core.specs import Band, Task, TensorSpec, Value

CHECKPOINT_FILE = "checkpoint.json"
WEIGHTS_FILE = "weights.safetensors"
ARTIFACT_FILE = "artifact.json"
#: The regime of a model that was not trained here: its checkpoint holds only what its file says of itself.
FOREIGN = "foreign"
#: The data set of a model of which nobody said what it was trained on.
UNKNOWN_DATA = "unknown"


class Preprocessing(Value):
    """Per-band normalization, (pixel - mean) / std, in the units of the pixels; it is part of the graph."""

    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]


class DataUse(Value):
    """Which data a model was trained on. `gsd_m` is the ground sampling distance in meters per pixel, None where it is not known."""

    name: str
    version: str
    sha256: str = ""
    gsd_m: float | None = Field(None, ge=1e-3, le=1e6)
    tile: int | None = None


_IDENTITY = (
    *("model", "encoder_options", "decoder_options", "task", "bands", "zero_filled", "classes", "input_size", "ignore_index"),
    *("preprocessing", "weights_sha256"),
)


class Checkpoint(Value):
    """A trained model: what it is and where it comes from. Its weights lie beside it in `weights.safetensors`."""

    format_version: Literal[1] = Field(1, alias="schema", serialization_alias="schema")
    model: str
    encoder_options: dict[str, Any] = {}
    decoder_options: dict[str, Any] = {}
    task: Task = "segmentation"
    bands: tuple[Band, ...]
    zero_filled: tuple[str, ...] = ()
    classes: tuple[str, ...]
    input_size: int = Field(ge=1)
    ignore_index: int | None = None
    preprocessing: Preprocessing
    dataset: DataUse
    regime: str
    recipe: dict[str, Any] = {}
    seed: int = 0
    label_fraction: float = Field(1.0, gt=0, le=1)
    epochs: int = 0
    best: dict[str, float] = {}
    initial_weights: dict[str, Any] = {}
    parameters: int = Field(ge=0)
    weights_sha256: str
    code: dict[str, str] = {}
    versions: dict[str, str] = {}

    model_config = {"frozen": True, "extra": "forbid", "populate_by_name": True, "serialize_by_alias": True}

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def is_foreign(self) -> bool:
        """Whether the model was not trained here."""
        return self.regime == FOREIGN

    @property
    def sha256(self) -> str:
        """Identity of the weights and of every fact that decides what the network computes and how it is scored."""
        return sha256_of_text(canonical_json(self.model_dump(mode="json", include=set(_IDENTITY))))


class Artifact(Value):
    """A runnable file with what is needed to run and judge it without the framework that made it.

    `file` lies in the folder of `artifact.json`, and beside it what else belongs to it: `files`, names with their sha256.
    Format "checkpoint" is the trained model itself, run by the PyTorch backends.
    """

    format_version: Literal[1] = Field(1, alias="schema", serialization_alias="schema")
    format: str
    precision: str
    file: str
    sha256: str
    size: int
    files: dict[str, str] = {}
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    checkpoint: Checkpoint
    checkpoint_sha256: str
    exporter: str = ""
    options: dict[str, Any] = {}
    tool_versions: dict[str, str] = {}
    parity: dict[str, float] = {}
    flops: dict[str, int] = {}

    model_config = {"frozen": True, "extra": "forbid", "populate_by_name": True, "serialize_by_alias": True}

    @property
    def identity(self) -> str:
        """Hash of all its bytes: the file's sha256, or one over the hashes of all files where its weights lie beside it."""
        return sha256_of_text(canonical_json({**self.files, self.file: self.sha256})) if self.files else self.sha256


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`. Raises CheckpointError naming the file and what is wrong."""
    if not (folder / CHECKPOINT_FILE).is_file():
        raise CheckpointError(f"{folder} is not a checkpoint: it has no {CHECKPOINT_FILE}", "harness train MODEL --data NAME")
    checkpoint = read_value(folder / CHECKPOINT_FILE, Checkpoint, CheckpointError, "train it again with `harness train`")
    if not (folder / WEIGHTS_FILE).is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS_FILE}", "train it again with `harness train`")
    return checkpoint


def artifacts_in(place: Path) -> list[Path]:
    """The folders of artifacts in a folder, by name; one that is still written, or was being replaced when its process was killed, begins with a dot."""
    return sorted(file.parent for file in place.glob(f"[!.]*/{ARTIFACT_FILE}"))


def read_artifact(folder: Path) -> Artifact:
    """The exported artifact in `folder`. Raises CheckpointError naming the file and what is wrong, also when its bytes changed."""
    artifact = read_value(folder / ARTIFACT_FILE, Artifact, CheckpointError, "export it again with `harness export`")
    for name, sha256 in {artifact.file: artifact.sha256, **artifact.files}.items():
        path = folder / name
        if Path(name).name != name:
            raise CheckpointError(f"{folder / ARTIFACT_FILE}: file {name!r} is not a plain file name", "export it again")
        if not path.is_file():
            raise CheckpointError(f"{folder / ARTIFACT_FILE} names {name}, which is not there", "export it again with `harness export`")
        if sha256_of_file(path) != sha256:
            raise CheckpointError(f"{path} is not the file that was exported: its sha256 differs from {ARTIFACT_FILE}", "export it again")
    return artifact


def artifact_from_checkpoint(folder: Path) -> Artifact:
    """The checkpoint itself seen as an artifact of format "checkpoint", for the PyTorch backends."""
    checkpoint = read_checkpoint(folder)
    weights = folder / WEIGHTS_FILE
    size, channels = checkpoint.input_size, len(checkpoint.bands)
    return Artifact(
        format="checkpoint",
        precision="fp32",
        file=WEIGHTS_FILE,
        sha256=checkpoint.weights_sha256,
        size=weights.stat().st_size,
        inputs=(TensorSpec(name="image", shape=("batch", channels, size, size), dtype="float32"),),
        outputs=(TensorSpec(name="logits", shape=("batch", checkpoint.num_classes, size, size), dtype="float32"),),
        checkpoint=checkpoint,
        checkpoint_sha256=checkpoint.sha256,
    )


def read_subject(folder: Path) -> Artifact:
    """An artifact folder or a checkpoint folder as an Artifact. Raises ConfigError for anything else."""
    if (folder / ARTIFACT_FILE).is_file():
        return read_artifact(folder)
    if (folder / CHECKPOINT_FILE).is_file():
        return artifact_from_checkpoint(folder)
    if not folder.exists():
        raise ConfigError(f"{folder} does not exist", "harness train MODEL --data NAME, then give the folder that it prints")
    raise ConfigError(f"{folder} holds neither {CHECKPOINT_FILE} nor {ARTIFACT_FILE}", "give the folder that `harness train` or `harness export` printed")
