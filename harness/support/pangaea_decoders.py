"""Decoders of PANGAEA and Cryo-Bench under our names; facts of the public repository Sk-2103/Cryo-Bench at 41b6115e.

Their UPerNet is ours but for its names and one thing: its convolutions in front of a batch norm have a bias. A batch norm in eval mode
subtracts its running mean, (W x + b) - m = W x - (m - b), so the bias is folded into the running mean: the logits are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.support.blocks import ConvNormRelu

#: Our names of a decoder's tensors to theirs, by decoder; the first pattern that matches the start of a name is replaced.
NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "upernet": (
        (r"neck\.levels\.", "neck.ops."),
        (r"pools\.(\d+)\.1\.0\.", r"psp_modules.\1.1."),
        (r"pools\.(\d+)\.1\.1\.", r"psp_modules.\1.2."),
        (r"laterals\.", "lateral_convs."),
        (r"smooths\.", "fpn_convs."),
        (r"fuse\.", "fpn_bottleneck."),
        (r"classify\.", "conv_seg."),
    ),
    "unet": (
        *((rf"ups\.{index}\.up\.", f"decoder.up_seq.up{4 - index}.up.") for index in range(4)),
        *((rf"ups\.{index}\.conv\.", f"decoder.up_seq.up{4 - index}.conv.conv.") for index in range(4)),
        (r"classify\.", "conv_seg.conv."),
    ),
}
#: The tensor whose first side is the number of classes, and the one whose first side is UPerNet's width.
CLASSIFIERS = {"upernet": "conv_seg.weight", "unet": "conv_seg.conv.weight"}
WIDTH = "fpn_bottleneck.0.weight"
USUAL_WIDTH = 512


def require_known(decoder: str) -> None:
    """Raises ConfigError for a decoder that PANGAEA doesn't have."""
    if decoder not in NAMES:
        raise ConfigError(f"PANGAEA trains no decoder {decoder!r}; its checkpoints hold {' or '.join(NAMES)}", "--model dofa+upernet")


def theirs(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Their name of our tensor."""
    for pattern, replacement in rules:
        new, count = re.subn(rf"\A(?:{pattern})", replacement, name, count=1)
        if count:
            return new
    return name


def biases_of(decoder: nn.Module) -> dict[str, str]:
    """The biases that their convolutions have and ours have not, by our names: each with the running mean that takes it, of the same shape."""
    blocks = [name for name, block in decoder.named_modules() if isinstance(block, ConvNormRelu)]
    return {f"{name}.0.bias": f"{name}.1.running_mean" for name in blocks}


def folded(tensors: Mapping[str, Tensor], biases: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors under our names without the biases; each is subtracted from its running mean, in double precision."""
    kept = {name: tensor for name, tensor in tensors.items() if name not in biases}
    for bias, mean in biases.items():
        kept[mean] = (tensors[mean].double() - tensors[bias].double()).to(tensors[mean].dtype)
    return kept
