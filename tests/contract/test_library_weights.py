"""Weights files of libraries' backbones: all their tensors are used or dropped for a reason; the first layer is adapted to the bands.

The files are the libraries' own whole networks, heads and all, one number per tensor.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from harness.core.errors import CheckpointError
from harness.core.registry import ENCODERS
from tests.contract.test_encoders import built, generic_bands
from tests.zoo_layouts import numbered, view


def whole_network(name: str) -> nn.Module:
    """As the library builds it for its own task, with a classifier."""
    family, _, member = name.partition(":")
    with torch.device("meta"):
        if family == "smp":
            import segmentation_models_pytorch.encoders as smp

            return smp.get_encoder(member, weights=None)
        if family == "torchgeo":
            import torchgeo.models

            return getattr(torchgeo.models, member)()
        return timm.create_model(member)


def loaded(name: str, content: dict[str, Any], folder: Path, *, bands: int = 3, **options: object) -> dict[str, Any]:
    spec = ENCODERS.load(name)
    torch.save(content, folder / "official.pth")
    module = built(spec, spec.bands or generic_bands(bands), **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "for .* copying from a non-meta parameter")
        report = spec.load_weights(module, folder / "official.pth")
    assert report["used"] + sum(map(len, report["kept"].values())) == len(module.state_dict())
    assert report["used"] + sum(map(len, report["dropped"].values())) == len(flat(content))
    return report


def flat(content: Any) -> list[Tensor]:
    return [content] if isinstance(content, Tensor) else [tensor for part in content.values() for tensor in flat(part)]


NAMES = ("smp:resnet34", "smp:efficientnet-b0", "torchgeo:resnet18", "torchgeo:swin_v2_t", "torchgeo:vit_small_patch16_224", "torchgeo:dofa_small_patch16_224")


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_of_the_librarys_network_is_used_or_dropped(name: str, tmp_path: Path) -> None:
    content = numbered(whole_network(name))
    assert loaded(name, content, tmp_path)["adapted"] == {}
    with pytest.raises(CheckpointError, match=r"extra 1: .*surprise"):
        loaded(name, {**content, "blocks.0.surprise": view((2,))}, tmp_path)


@pytest.mark.parametrize("name", [name for name in NAMES if "dofa" not in name])
def test_a_file_of_three_bands_serves_five(name: str, tmp_path: Path) -> None:
    (how,) = loaded(name, numbered(whole_network(name)), tmp_path, bands=5)["adapted"].values()
    assert how.startswith("3 bands to 5 by timm")


def test_a_swin_transformer_in_satlas_own_file_is_found_under_its_backbone(tmp_path: Path) -> None:
    inner = {f"backbone.backbone.{name}": tensor for name, tensor in numbered(whole_network("torchgeo:swin_v2_t")).items()}
    report = loaded("torchgeo:swin_v2_t", inner | {"fpn.0.weight": view((2,))}, tmp_path)
    assert report["dropped"]["not under 'backbone.'"] == ["fpn.0.weight"]
