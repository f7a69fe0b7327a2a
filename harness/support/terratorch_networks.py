"""Feature maps of terratorch's own backbones, whichever way each of them gives its layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.support.features import feature_layers, is_pyramid
from harness.support.meta import meta_copy
from harness.support.prithvi import load_prithvi
from harness.support.tokens import map_from_tokens
from harness.support.weights import Weights, read_weights


class LayerMaps(nn.Module):
    """Maps of a network whose `method` gives a list of tokens (B, prefix + patches, C), or of maps with the channels first or last.

    What it gives is found once, without computing, when it is built; blocks after the last layer that is used don't exist in terratorch's
    networks, for that layer is their last.
    """

    def __init__(self, network: nn.Module, bands: int, input_size: int, *, method: str = "forward", is_channels_last: bool = False) -> None:
        super().__init__()
        self.network = network
        self.method, self.is_channels_last = method, is_channels_last
        given = [tuple(found.shape) for found in self._outputs(torch.empty(1, bands, input_size, input_size, device="meta"), meta_copy(network).eval())]
        sides = [self._side(shape) for shape in given]
        reductions = [input_size // side for side in sides]
        self.layers = feature_layers(reductions) if not is_pyramid(reductions) else tuple(range(len(given)))
        self.prefix = given[0][1] - sides[0] ** 2 if len(given[0]) == 3 else 0
        self.reductions = tuple(reductions[layer] for layer in self.layers)
        self.channels = tuple(given[layer][1 if len(given[layer]) == 4 and not is_channels_last else -1] for layer in self.layers)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, channels[i], H / reductions[i], W / reductions[i]) of an image (B, bands, H, W)."""
        outputs = self._outputs(image, self.network)
        return [self._map(outputs[layer], image, by) for layer, by in zip(self.layers, self.reductions, strict=True)]

    def _outputs(self, image: Tensor, network: nn.Module) -> list[Tensor]:
        return list(getattr(network, self.method)(image))

    def _side(self, shape: Sequence[int]) -> int:
        """Of a map; of tokens, of the largest square in them, the others being class tokens."""
        return math.isqrt(shape[1]) if len(shape) == 3 else shape[1 if self.is_channels_last else -1]

    def _map(self, output: Tensor, image: Tensor, reduction: int) -> Tensor:
        if output.ndim == 4:
            return output.permute(0, 3, 1, 2) if self.is_channels_last else output
        return map_from_tokens(output, (image.shape[-2] // reduction, image.shape[-1] // reduction), prefix=self.prefix)


class ClayLayers(nn.Module):
    """Clay's tokens after each block, for fixed wavelengths and ground resolution; time and place are zeros, as where they are not known."""

    waves: Tensor

    def __init__(self, network: Any, wavelengths: Sequence[float], resolution: float) -> None:
        super().__init__()
        self.clay_encoder = network.clay_encoder
        self.resolution = resolution
        self.register_buffer("waves", torch.tensor(wavelengths, dtype=torch.float32), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        unknown = torch.zeros(image.shape[0], 4, device=image.device)
        cube = {"pixels": image, "time": unknown, "latlon": unknown, "gsd": self.resolution, "waves": self.waves}
        tokens: list[Tensor] = self.clay_encoder(cube)
        return tokens


class UNetStages(nn.Module):
    """Maps of the contracting half of terratorch's U-Net, fine to coarse; the other half is a decoder's work."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.encoder = network.encoder

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.encoder:
            image = stage(image)
            maps.append(image)
        return maps


def with_fixed_positions(network: Any) -> Any:
    """Prithvi's network with its positional embedding as a parameter that is not trained, which the loader of its weights interpolates.

    Its `forward` is the class's own again: terratorch puts a function there that holds on to the network it was made for.
    """
    positions = network.pos_embed
    del network.pos_embed
    network.pos_embed = nn.Parameter(positions, requires_grad=False)
    network.__dict__.pop("forward", None)
    return network


def load_layers(module: Any, source: Path | Weights) -> Mapping[str, Any]:
    """Load a published checkpoint of Prithvi, TerraMind, Clay, or of the network as it stands; CheckpointError lists what does not fit."""
    network = module.network
    if hasattr(network, "temporal_encoding"):
        return load_prithvi(network, source, patches=(224 // module.reductions[0]) ** 2)
    weights = read_weights(source)
    for wrapper in ("state_dict", "model"):
        weights = weights.inside(wrapper)
    if isinstance(network, ClayLayers):
        weights = weights.inside("encoder").renamed(r"(?!clay_encoder\.)", "clay_encoder.")
    weights = weights.without(r"(decoder|mask_token|register_tokens|teacher|proj\.).*", "decoder of the pretraining")
    weights = weights.without(r"head\..*", "classifier")
    for name in sorted({key.split(".")[1] for key in weights.tensors if key.startswith("encoder_embeddings.")}):
        if f"encoder_embeddings.{name}.mod_emb" not in network.state_dict():
            weights = weights.without(rf"encoder_embeddings\.{name}\..*", "embedding of a modality that is not asked for")
    return weights.loaded_into(network, kept={r"encoder.*norm\d?\.bias": "zeros: the norms have no bias"} if hasattr(network, "encoder_embeddings") else None)
