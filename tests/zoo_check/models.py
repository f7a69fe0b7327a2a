"""The 16 pairs as they are checked: at which size, with which options, what the code says of them, and a checkpoint with fresh weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from harness.core.artifact import CHECKPOINT_FILE, WEIGHTS_FILE, Preprocessing
from harness.core.files import sha256_of_file, write_value
from harness.core.specs import Band, names_of
from harness.support.cryo_bench import published
from harness.support.flops import flops_of_model
from harness.support.model import SegmentationModel, build_model, specs_of
from harness.support.named_bands import default_bands
from tests import builders

CLASSES = ("other", "ice")


@dataclass(frozen=True)
class Model:
    """One pair at one input size, with the encoder's own bands and fresh weights by `seed`."""

    name: str
    size: int
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    seed: int = 0

    @property
    def bands(self) -> tuple[Band, ...]:
        return default_bands(specs_of(self.name)[0], self.options)

    def build(self) -> SegmentationModel:
        count = len(self.bands)
        return build_model(
            self.name,
            bands=self.bands,
            num_classes=len(CLASSES),
            input_size=self.size,
            mean=[0.3] * count,
            std=[0.2] * count,
            encoder_options=self.options,
        ).eval()


#: Models that are checked at another size than their own.
SMALLER = {
    "ramen+upernet": Model(
        "ramen+upernet",
        128,
        {"input_resolution": 10.0, "resolution": 40.0},
        "exported at 128 px with pixels of 10 m and tokens of 40 m: 1024 tokens instead of the 4096 of its full 512 px",
    )
}


def zoo() -> dict[str, Model]:
    """All models of the benchmark by name, in its order."""
    return {name: SMALLER.get(name) or Model(name, facts.size) for name, facts in published().items()}


def facts_of(model: Model) -> dict[str, Any]:
    """What the code says of a model, nothing run: license, source, bands, parameters, multiply-adds of one input."""
    spec, _ = specs_of(model.name)
    with torch.device("meta"):
        network = model.build()
    flops = flops_of_model(network, len(model.bands), model.size)
    return {
        "model": model.name,
        "license": spec.license,
        "source": spec.source,
        "bands": list(names_of(model.bands)),
        "size": model.size,
        "options": dict(model.options),
        "note": model.note,
        "params_encoder": _count(network.encoder),
        "params": _count(network),
        "macs_encoder": flops["encoder"] // 2,
        "macs": flops["forward"] // 2,
    }


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def write_checkpoint(model: Model, folder: Path) -> None:
    """A checkpoint of the model with fresh weights, the same ones for the same seed."""
    folder.mkdir(parents=True)
    torch.manual_seed(model.seed)
    network = model.build()
    stir(network)
    save_file({name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}, folder / WEIGHTS_FILE)
    checkpoint = builders.checkpoint(
        model.name,
        regime="scratch",
        data="synthetic",
        bands=model.bands,
        classes=CLASSES,
        input_size=model.size,
        preprocessing=Preprocessing(mean=(0.3,) * len(model.bands), std=(0.2,) * len(model.bands)),
        encoder_options=dict(model.options),
        parameters=_count(network),
        weights_sha256=sha256_of_file(folder / WEIGHTS_FILE),
    )
    write_value(folder / CHECKPOINT_FILE, checkpoint)


@torch.no_grad()
def stir(network: nn.Module) -> None:
    """Noise on parameters and statistics that start constant: a term that starts at 0, or a norm that starts as the identity, hides mistakes."""
    for tensor in network.parameters():
        if tensor.numel() > 1 and bool((tensor == tensor.flatten()[0]).all()):
            tensor += 0.1 * torch.randn_like(tensor)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = 0.1 * torch.randn_like(_known(module.running_mean))
            module.running_var = 1 + 0.5 * torch.rand_like(_known(module.running_var))


def _known(tensor: torch.Tensor | None) -> torch.Tensor:
    assert tensor is not None
    return tensor
