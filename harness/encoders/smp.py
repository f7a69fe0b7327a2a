"""Every encoder of segmentation_models_pytorch, as `smp:<name>`, on any bands: CNNs and mix transformers with maps from 1/2 (VGG: 1/1) to 1/32."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import segmentation_models_pytorch.encoders as library
from torch import Tensor, nn

from harness.core.errors import ConfigError, UnknownNameError
from harness.core.specs import Band, EncoderFamily, EncoderSpec
from harness.support.maps import on_default_device, outputs_of, require_maps, require_some_bands
from harness.support.tokens import require_multiple
from harness.support.weights import Weights, read_weights

COARSEST = 32
#: Classifiers in published files; the encoders have none.
HEADS = r"(fc|classifier|last_linear|_fc|head)\..*"
#: The last convolution of EfficientNets and its norm, which no map passes.
TAILS = (("_conv_head", "_bn1"), ("conv_head", "bn2"))


class SmpFeatures(nn.Module):
    """The maps of a library encoder, without the image that it hands through and the empty map that stands for a missing scale."""

    def __init__(self, network: Any, *, bands: int, input_size: int) -> None:
        super().__init__()
        self.network = network
        self.unused = tuple(name for tail in TAILS if hasattr(network, tail[0]) for name in tail)
        for name in self.unused:
            setattr(network, name, nn.Identity())
        shapes = [tuple(found.shape) for found in outputs_of(network, bands, input_size)]
        first = 0 if isinstance(network, library.vgg.VGGEncoder) else 1
        self.kept = tuple(index for index in range(first, len(shapes)) if shapes[index][1])
        self.channels = tuple(shapes[index][1] for index in self.kept)
        self.reductions = tuple(2**index for index in self.kept)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps (B, channels[i], H / reductions[i], W / reductions[i]) of an image (B, bands, H, W)."""
        maps = self.network(image)
        return [maps[index] for index in self.kept]


def spec(name: str) -> EncoderSpec:
    """The spec of one encoder. Raises UnknownNameError with near matches, and ConfigError for one that is another library's."""
    if name.startswith("tu-"):
        raise ConfigError(f"smp:{name} is timm's {name[3:]}", f"timm:{name[3:]}")
    if name not in library.encoders:
        raise UnknownNameError("encoder", f"smp:{name}", [f"smp:{known}" for known in library.get_encoder_names()])
    return EncoderSpec(
        name=f"smp:{name}",
        build=partial(build, name=name),
        load_weights=load_weights,
        divisor=COARSEST,
        description=f"segmentation_models_pytorch's {name}; maps down to 1/{COARSEST} of the input",
        license="network MIT (segmentation_models_pytorch); weights: see source",
        source=_source(name),
        extra="zoo",
    )


def _source(name: str) -> str:
    homes = {str(facts["repo_id"]) for facts in library.encoders[name]["pretrained_settings"].values()}
    return f"https://huggingface.co/{min(homes)}" if homes else "https://github.com/qubvel-org/segmentation_models.pytorch"


def build(bands: Sequence[Band], input_size: int, *, name: str) -> SmpFeatures:
    """The encoder with fresh weights. Raises ConfigError where it gives no maps at this size."""
    require_some_bands(f"smp:{name}", len(bands))
    require_multiple(f"smp:{name}", input_size, COARSEST)
    features = SmpFeatures(on_default_device(partial(_network, name, len(bands))), bands=len(bands), input_size=input_size)
    require_maps(f"smp:{name}", features, len(bands), input_size)
    return features


def _network(name: str, bands: int) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network: nn.Module = library.get_encoder(name, in_channels=bands, weights=None)
    return network


def load_weights(module: Any, source: Path | Weights) -> Mapping[str, Any]:
    """Load a file of the library's own weights; the first convolutions are adapted from three bands to the module's, as timm does it."""
    from timm.models import adapt_input_conv

    weights = read_weights(source)
    for wrapper in ("state_dict", "encoder"):
        weights = weights.inside(wrapper)
    weights = weights.without(HEADS, "classifier")
    weights = weights.without(rf"({'|'.join(module.unused)})\..*", "not used by the feature maps") if module.unused else weights
    for name, tensor in module.network.state_dict().items():
        given = weights.tensors.get(name)
        if given is not None and given.ndim == 4 and given.shape[1] == 3 and given.shape[2:] == tensor.shape[2:]:
            bands = tensor.shape[1]
            weights = weights.with_shape(name, tensor.shape, f"3 bands to {bands} by timm", partial(adapt_input_conv, bands))
    return weights.loaded_into(module.network)


ENCODER = EncoderFamily(
    name="smp",
    spec=spec,
    description="every encoder of segmentation_models_pytorch",
    examples=("resnet34", "efficientnet-b0", "mit_b0"),
)
