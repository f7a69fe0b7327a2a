"""Which of Cryo-Bench's encoders a PANGAEA checkpoint holds, and how ours must be built to be the same network.

Facts of the public repository Sk-2103/Cryo-Bench at 41b6115e: names and shapes of the encoders' tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from harness.core.specs import Band
from harness.support.named_bands import NAMED, named_bands

#: Our names of the tensors of an encoder that has no loader of its own, to theirs.
NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "unet": ((r"stages\.0\.", "in_conv.conv.conv."), *((rf"stages\.{index}\.", f"encoder.down_seq.down{index}.mpconv.1.conv.") for index in range(1, 5))),
}
#: Wavelengths in micrometers that their configurations give an encoder that is told them, where they differ from Sentinel-2's nominal
#: ones; layers that are no spectral band have made-up ones.
WAVELENGTHS_UM: Mapping[str, Mapping[str, float]] = {
    "dofa": {"B1": 0.44, "B8": 0.832, "B8A": 0.864, "B10": 1.373, "B12": 2.2, "NDWI": 0.49, "SLOPE": 0.49, "ELEVATION": 0.49},
    "ramen": {"B1": 0.44, "B8": 0.832, "B10": 1.373, "B12": 2.2, "NDWI": 0.705, "SLOPE": 1.24, "ELEVATION": 1.64},
}
#: Their names of other layers.
LAYERS = {name: Band(name=name, sensor="ancillary") for name in ("NDWI", "SLOPE", "ELEVATION")} | {
    name: Band(name=name, sensor="sar") for name in ("ASC_VV", "ASC_VH", "DSC_VV", "DSC_VH", "VV-VH")
}
#: A part of a name that only this encoder's tensors have.
MARKS = {
    "croma": ("s1_encoder.", "s2_encoder."),
    "dofa": ("patch_embed.weight_generator.",),
    "gfm_swin": ("layers.0.blocks.0.",),
    "remoteclip": ("transformer.resblocks.",),
    "satlasnet": ("features.0.0.",),
    "spectralgpt": ("pos_embed_temporal",),
    "s12_data2vec": ("rel_pos_bias.",),
    "terramind": ("encoder_embeddings.",),
    "ramen": ("resampler.",),
    "unet": ("in_conv.",),
}
#: Cryo-Bench's plain transformers by the width of the first layer, the rank of its kernel and whether q, k and v have biases.
PLAIN = {
    (1024, 4, True): ("scalemae",),
    (768, 5, True): ("prithvi",),
    (768, 4, True): ("vit",),
    (384, 4, True): ("s12_moco", "s12_mae"),
    (384, 4, False): ("s12_dino",),
}
KNOWN = {*MARKS, *(name for names in PLAIN.values() for name in names)}


def recognized(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The encoders that these tensors may be of, as far as their names and shapes tell; empty when they are of none of the 16.

    S12-MoCo and S12-MAE are one network: only their values differ.
    """
    marked = tuple(name for name, marks in MARKS.items() if any(mark in tensor for tensor in tensors for mark in marks))
    first = tensors.get("patch_embed.proj.weight")
    if marked or first is None:
        return marked
    return PLAIN.get((first.shape[0], first.ndim, "blocks.0.attn.qkv.bias" in tensors), ())


def bands_of(encoder: str, names: Sequence[str | Band], told: Mapping[str, float] | None = None) -> tuple[Band, ...]:
    """The bands with these names as the encoder was told them; `told` are the wavelengths of the run's own configuration.

    A Band stays what it is. Raises ConfigError for an unknown name.
    """
    wavelengths = {**WAVELENGTHS_UM.get(encoder, {}), **((told or {}) if encoder in WAVELENGTHS_UM else {})}
    known = {**NAMED, **LAYERS, **{name: Band(name=name, wavelength_um=value) for name, value in wavelengths.items()}}
    return named_bands([known.get(name, name) if isinstance(name, str) else name for name in names])


def options_for(encoder: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options with which our encoder is the network that these tensors are of; only those that differ from the defaults."""
    if encoder == "croma":
        return _croma(tensors)
    if encoder == "terramind":
        return _terramind(tensors)
    first = tensors.get("patch_embed.proj.weight")
    if encoder == "s12_mae" and first is not None and first.ndim == 4 and first.shape[1] == 2:
        return {"sensor": "s1"}
    if encoder == "s12_dino" and "blocks.0.attn.qkv.bias" not in tensors:
        return {"reference_bugs": True}
    positions = tensors.get("pos_embed")
    if encoder == "vit" and positions is not None and not positions.any():
        return {"reference_bugs": True}
    return {}


def _croma(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    parts = {name.partition(".")[0] for name in tensors}
    if parts & {"cross_encoder", "joint_encoder"}:
        return {"modality": "joint"}
    return {"modality": "sar"} if "s1_encoder" in parts and "s2_encoder" not in parts else {}


def _terramind(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Cryo-Bench feeds B10 to the slot that was trained on B9, so level 2A is built with `reference_bugs`."""
    inputs = {name.split(".")[1] for name in tensors if name.startswith("encoder_embeddings.")}
    norm = tensors.get("encoder_norm.weight")
    found: dict[str, Any] = {"size": "large"} if norm is not None and norm.shape[0] == 1024 else {}
    has_s1, has_s2 = "untok_sen1grd@224" in inputs, "untok_sen2l2a@224" in inputs
    if has_s1:
        found["modality"] = "both" if has_s2 else "s1"
    return {**found, "reference_bugs": True} if has_s2 else found
