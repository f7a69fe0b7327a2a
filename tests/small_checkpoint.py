"""A checkpoint of a small CNN with fresh weights, made in a moment: for contracts that do not ask how good it is."""

from pathlib import Path

from safetensors.torch import save_file

from harness.core.artifact import CHECKPOINT_FILE, WEIGHTS_FILE, DataUse, Preprocessing
from harness.core.files import sha256_of_file, write_value
from harness.core.specs import Band
from harness.support.model import build_model
from harness.support.seeds import seed_all
from tests import builders

BANDS = tuple(Band(name=f"b{number}", wavelength_um=0.5 + number / 10) for number in range(1, 5))


def small_checkpoint(folder: Path, model: str = "timm:resnet10t+linear", *, size: int = 32) -> Path:
    """Three classes over four bands; the same weights every time."""
    folder.mkdir(parents=True, exist_ok=True)
    seed_all(0)
    normalization = Preprocessing(mean=(100.0,) * 4, std=(25.0,) * 4)
    network = build_model(model, bands=BANDS, num_classes=3, input_size=size, mean=normalization.mean, std=normalization.std)
    save_file(network.state_dict(), folder / WEIGHTS_FILE)
    facts = builders.checkpoint(
        model,
        data="synthetic",
        bands=BANDS,
        classes=("background", "disk", "bar"),
        input_size=size,
        preprocessing=normalization,
        dataset=DataUse(name="synthetic", version="1", tile=size),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        weights_sha256=sha256_of_file(folder / WEIGHTS_FILE),
    )
    write_value(folder / CHECKPOINT_FILE, facts)
    return folder
