"""Recorded facts of Cryo-Bench's models and the rule that fills weights and inputs; see `_spec` in data/zoo/golden_features.json."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.core.registry import ENCODERS
from harness.core.specs import Band, EncoderSpec
from harness.support.sensors import RGB, SENTINEL1, SENTINEL2_L2A, sentinel2

DATA = Path(__file__).parent / "data" / "zoo"
#: Computed by the constructor; neither filled nor compared.
COMPUTED = ("attn_mask", "relative_coords_table", "relative_position_index")
#: Knuth's multiplier, and how many values of a tensor are filled at once.
KNUTH, BLOCK = 2654435761, 1 << 14
SATLAS = sentinel2("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B11", "B12")


@dataclass(frozen=True)
class Case:
    """One model of the reference and how ours is built.

    `differences` are our parameters minus the reference's, by reason; `renamed` turns the reference's names into ours where the encoder
    has no loader that does; `reverse` says that the reference lists its maps coarse to fine; `slow`: computing the
    features takes half a minute or more.
    """

    reference: str
    encoder: str
    bands: tuple[Band, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    input_size: int | None = None
    differences: Mapping[str, int] = field(default_factory=dict)
    saved_flops: int = 0
    unused: str = ""
    renamed: tuple[tuple[str, str], ...] = ()
    reverse: bool = False
    slow: bool = False

    @property
    def spec(self) -> EncoderSpec:
        spec: EncoderSpec = ENCODERS.load(self.encoder)
        return spec

    @property
    def inputs(self) -> tuple[Band, ...]:
        return self.bands or self.spec.bands or RGB

    @property
    def size(self) -> int:
        return self.input_size or self.spec.input_size or facts("encoders")[self.reference]["input_size"]

    def build(self) -> nn.Module:
        return self.spec.build(self.inputs, self.size, **self.options).eval()


def croma_layer_flops(tokens: int, width: int) -> int:
    """By hand: q, k, v, output (4 width^2) and MLP (8 width^2) per token, scores and mixing (2 width per pair); 2 FLOP a multiply-add."""
    return 2 * (12 * width**2 * tokens + 2 * tokens**2 * width)


UNET = {
    "encoder": "unet",
    "renamed": ((r"in_conv\.conv\.conv\.", "stages.0."), (r"encoder\.down_seq\.down(\d)\.mpconv\.1\.conv\.", r"stages.\1.")),
    "reverse": True,
}
GSDD = sentinel2("B2", "B3", "B4", "B8", "B11", "B12", "B8A", "B5", "B6", "B7")

CASES = (
    Case(
        "CROMA",
        "croma",
        differences={"optical layers 13 to 24": -12 * (12 * 1024**2 + 10 * 1024)},
        saved_flops=12 * croma_layer_flops(225, 1024),
        unused=r"s2_encoder\.transformer\.layers\.(1[2-9]|2\d)\..*",
    ),
    Case("CROMA@sar", "croma", SENTINEL1, {"modality": "sar"}),
    Case("CROMA@joint", "croma", SENTINEL2_L2A + SENTINEL1, {"modality": "joint"}),
    Case("DOFA", "dofa"),
    Case("DOFA@GSDD", "dofa", GSDD),
    Case("DOFA@GLD", "dofa", sentinel2("B2", "B3", "B4", "B8", "B11", "B8A", "B5", "B6", "B7") + SENTINEL1[:1]),
    Case("DOFA@SICD", "dofa", SENTINEL1),
    Case("GFM-Swin", "gfm_swin", differences={"final norm": -2 * 1024}),
    Case("RemoteCLIP", "remoteclip"),
    Case("SatlasNet", "satlasnet", differences={"final norm": -2 * 1024, "classifier": -1025000}),
    Case("SatlasNet@mi", "satlasnet", options={"variant": "mi"}, differences={"final norm": -2 * 1024, "classifier": -1025000}),
    Case("Scale-MAE", "scalemae"),
    Case("S12-MoCo", "s12_moco"),
    Case("S12-DINO", "s12_dino", options={"reference_bugs": True}, differences={"final norm": -2 * 384}),
    Case("S12-MAE", "s12_mae"),
    Case("S12-MAE@sar", "s12_mae", SENTINEL1, {"sensor": "s1"}),
    Case("S12-Data2Vec", "s12_data2vec", differences={"final norm": -2 * 384, "mask token": -384}),
    Case("Prithvi", "prithvi"),
    Case("SpectralGPT", "spectralgpt"),
    Case("TerraMind", "terramind"),
    Case("TerraMind@mm", "terramind", SENTINEL2_L2A + SENTINEL1, {"modality": "both"}),
    Case("TerraMind@sar", "terramind", SENTINEL1, {"modality": "s1"}),
    Case("TerraMind@large", "terramind", options={"size": "large"}),
    Case("RAMEN", "ramen", RGB, slow=True),
    Case("RAMEN@128", "ramen", RGB, {"input_resolution": 10.0, "resolution": 40.0}, 128),
    Case(
        "RAMEN@SICD",
        "ramen",
        SENTINEL1,
        {"input_resolution": 40.0, "resolution": 80.0},
        128,
        differences={"projector of optical bands": -2363136, "six of eight polarizations and orbits": -6 * 768},
    ),
    Case("U-Net", **UNET),
    Case("U-Net@GSDD", bands=GSDD, **UNET),
    Case("U-Net@SICD", bands=SENTINEL1, **UNET),
    Case("U-Net@CaFFe", bands=SENTINEL1[:1], **UNET),
    Case("ViT", "vit"),
    Case("ViT@GSDD", "vit", GSDD),
)


def facts(name: str) -> dict[str, Any]:
    """One of the recorded files: "encoders", "golden_features", "state_dicts"."""
    content: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return content


def reference_tensors(model: str) -> dict[str, tuple[tuple[int, ...], str, bool]]:
    """Name to (shape, dtype, is a buffer) of a reference encoder's state_dict."""
    return {name: _parsed(text) for pattern, text in facts("state_dicts")[model].items() for name in _names(pattern)}


def _names(pattern: str) -> Iterator[str]:
    found = re.search(r"\{([\d,-]+)\}", pattern)
    if found is None:
        yield pattern
        return
    for part in found[1].split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield f"{pattern[: found.start()]}{number}{pattern[found.end() :]}"


def _parsed(text: str) -> tuple[tuple[int, ...], str, bool]:
    shape, *rest = text.split()
    dtype = next((word for word in rest if word != "buffer"), "float32")
    return () if shape == "scalar" else tuple(map(int, shape.split("x"))), dtype, "buffer" in rest


def filled_tensors(model: str, *, unused: str = "") -> dict[str, Tensor]:
    """The reference's tensors filled by the rule; what its constructor keeps is left out (zeros for biases that are buffers)."""
    tensors = {}
    for name, (shape, dtype, is_buffer) in reference_tensors(model).items():
        leaf = name.rpartition(".")[2]
        if dtype != "float32" or leaf in COMPUTED or (unused and re.fullmatch(unused, name)):
            continue
        tensors[name] = torch.zeros(shape) if is_buffer and leaf == "bias" else hashed(name, shape)
    return tensors


def hashed(name: str, shape: tuple[int, ...]) -> Tensor:
    """Rule "hash": noise in [-1, 1) from the index and the name, scaled by the kind of tensor. In blocks that stay in the processor's cache."""
    count = int(np.prod(shape, dtype=np.int64))
    offset, factor = _scale(shape, name.rpartition(".")[2])
    values = np.empty(count, np.float32)
    steps = np.arange(min(count, BLOCK), dtype=np.uint32) * np.uint32(KNUTH)
    for start in range(0, count, BLOCK):
        first = np.uint32((start * KNUTH + zlib.crc32(name.encode())) % 2**32)
        noise = _mixed(steps[: count - start] + first)
        values[start : start + BLOCK] = offset + factor * (2 * (noise / 2**32) - 1)
    return torch.from_numpy(values.reshape(shape))


def _mixed(noise: np.ndarray) -> np.ndarray:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        noise ^= noise >> np.uint32(shift)
        noise *= np.uint32(factor)
    noise ^= noise >> np.uint32(16)
    return noise


def _scale(shape: tuple[int, ...], leaf: str) -> tuple[float, float]:
    """Offset and factor of the noise."""
    if leaf == "running_var":
        return 1, 0.5
    if leaf == "running_mean":
        return 0, 0.1
    if not shape:
        return 1, 0.1
    if leaf == "weight" and len(shape) == 1:
        return 1, 0.2
    if leaf in ("weight", "in_proj_weight"):
        return 0, float(np.sqrt(6 / np.prod(shape[1:])))
    return 0, 0.1


def golden_input(model: str) -> Tensor:
    """The recorded input as one tensor (1, C, H, W): sine waves, the channel count starting again in each modality; no time axis."""
    waves = [_waves(shape[1], shape[-2], shape[-1]) for shape in facts("golden_features")[model]["input"].values()]
    return torch.from_numpy(np.concatenate(waves)[None].astype(np.float32))


def _waves(channels: int, height: int, width: int) -> np.ndarray:
    channel, row, column = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width), indexing="ij")
    return np.sin(0.01 * row + 0.02 * column + 0.3 * channel)
