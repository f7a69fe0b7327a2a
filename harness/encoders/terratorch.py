"""Backbones of terratorch's registry, as `terratorch:<name>`: Prithvi, TerraMind, Clay, and those of Satlas, SSL4EO and others. Its import takes 11 s."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from harness.core.errors import ConfigError, UnknownNameError
from harness.core.specs import Band, EncoderFamily, EncoderSpec
from harness.support.maps import on_default_device, require_maps, require_some_bands
from harness.support.prithvi import BANDS as HLS
from harness.support.sensors import RGB, SENTINEL1, SENTINEL2, SENTINEL2_L2A, require_bands
from harness.support.terratorch_networks import ClayLayers, LayerMaps, UNetStages, load_layers, with_fixed_positions
from harness.support.tokens import require_multiple
from harness.support.torchgeo_networks import load_maps, maps_of

#: Registered by terratorch, but with timm.
IN_TIMM = ("clay_v1_base", "prithvi_swin_B", "prithvi_swin_L")
#: Why the others give no maps here, and what to use.
UNUSABLE = {
    r"dinov3_": ("its network is downloaded when it is built", "a timm encoder of DINOv3: timm:vit_small_patch16_dinov3"),
    r"IdentityBackbone": ("it is no network", "harness list encoders"),
    r"convnext": ("it gives one vector for an image", "timm:convnextv2_atto"),
    r"terramind_.*(tim|tokenizer_.*)$": ("it makes tokens of other modalities", "terramind, or terratorch:terramind_v1_base"),
}
MODALITIES = {"S2L2A": SENTINEL2_L2A, "S2L1C": SENTINEL2, "S1GRD": SENTINEL1, "RGB": RGB}
#: What Clay is told of a radar's bands, in micrometers, by terratorch's table.
CLAY_RADAR = {"VV": 3.5, "VH": 4.0}


@dataclass(frozen=True)
class Kind:
    """How the backbones whose name matches are made: `make(name, bands, input_size, **options)` gives a module with maps."""

    pattern: str
    make: Callable[..., nn.Module]
    divisor: int
    input_size: int | None = None
    flexible: bool = True
    pyramid: bool = True
    bands_for: Callable[..., tuple[Band, ...] | None] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def _registered(name: str, **options: Any) -> Any:
    """The library's network with fresh weights; nothing is downloaded."""
    from terratorch.registry import BACKBONE_REGISTRY

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # it prints that there are no weights, which nobody asked for
        warnings.simplefilter("ignore", UserWarning)
        return BACKBONE_REGISTRY.build(name, pretrained=False, **options)


def _numbered(bands: Sequence[Band]) -> list[str]:
    """Names that say how many bands there are, and match none of the library's."""
    return [f"band{index}" for index in range(len(bands))]


def _prithvi(name: str, bands: Sequence[Band], input_size: int, *, trained_bands: bool = True) -> nn.Module:
    _require_trained(name, bands, trained_bands)
    network = _registered(name, bands=_numbered(bands), img_size=input_size, num_frames=1, coords_encoding=[])
    return LayerMaps(with_fixed_positions(network), len(bands), input_size, method="forward_features")


def _prithvi_swin(name: str, bands: Sequence[Band], input_size: int, *, trained_bands: bool = True) -> nn.Module:
    _require_trained(name, bands, trained_bands)
    network = on_default_device(partial(_registered, name, bands=_numbered(bands)))
    return LayerMaps(network, len(bands), input_size, is_channels_last=True)


def _require_trained(name: str, bands: Sequence[Band], trained_bands: bool) -> None:
    if trained_bands:
        require_bands(f"terratorch:{name}", bands, HLS)


def _terramind(name: str, bands: Sequence[Band], input_size: int, *, modality: str = "S2L2A") -> nn.Module:
    if modality not in MODALITIES:
        raise ConfigError(f"encoder terratorch:{name} has no modality {modality!r}; known: {', '.join(MODALITIES)}", "--encoder-option modality=S1GRD")
    require_bands(f"terratorch:{name} with modality {modality}", bands, MODALITIES[modality])
    if input_size != 224:
        raise ConfigError(f"encoder terratorch:{name} takes 224 px only, got {input_size} px", "leave --input-size out, or use terramind, which takes any")
    return LayerMaps(on_default_device(partial(_registered, name, modalities=[modality])), len(bands), input_size)


def _clay(name: str, bands: Sequence[Band], input_size: int, *, resolution: float = 10.0) -> nn.Module:
    waves = [band.wavelength_um or CLAY_RADAR.get(band.name) for band in bands]
    unknown = [band.name for band, wave in zip(bands, waves, strict=True) if wave is None]
    if unknown:
        raise ConfigError(f"encoder terratorch:{name} needs the wavelength of every band; none is known of {', '.join(unknown)}", "leave these bands out")
    network = _registered(name, img_size=input_size)
    return LayerMaps(ClayLayers(network, [wave for wave in waves if wave], resolution), len(bands), input_size)


def _unet(name: str, bands: Sequence[Band], input_size: int) -> nn.Module:
    from terratorch.registry import TERRATORCH_BACKBONE_REGISTRY

    network = TERRATORCH_BACKBONE_REGISTRY.build(name, in_channels=len(bands))
    return LayerMaps(UNetStages(network), len(bands), input_size)


def _torchgeo(name: str, bands: Sequence[Band], input_size: int, **options: Any) -> nn.Module:
    """The network of torchgeo that terratorch wraps."""
    wrapped = on_default_device(partial(_registered, name, model_bands=["RED"] * len(bands), **options))
    network = next(getattr(wrapped, part) for part in ("resnet_model", "vit_model", "swin_model", "dofa_model") if hasattr(wrapped, part))
    return maps_of(f"terratorch:{name}", network, bands, input_size)


def _resnet(name: str, bands: Sequence[Band], input_size: int) -> nn.Module:
    return _torchgeo(name, bands, input_size, num_classes=0)


def _vit(name: str, bands: Sequence[Band], input_size: int) -> nn.Module:
    return _torchgeo(name, bands, input_size, num_classes=0, img_size=input_size)


def _dofa(name: str, bands: Sequence[Band], input_size: int) -> nn.Module:
    return _torchgeo(name, bands, input_size, num_classes=0, img_size=input_size, global_pool=False)


def _hls(*, trained_bands: bool = True) -> tuple[Band, ...] | None:
    return HLS if trained_bands else None


#: Those that wrap a network of torchgeo.
TORCHGEO = (_dofa, _resnet, _torchgeo, _vit)
TRAINED: Mapping[str, Any] = {"bands_for": _hls, "options": {"trained_bands": True}, "choices": {"trained_bands": (True, False)}}
PLAIN: Mapping[str, Any] = {"input_size": 224, "pyramid": False}
MODAL: Mapping[str, Any] = {
    "flexible": False,
    "options": {"modality": "S2L2A"},
    "choices": {"modality": tuple(MODALITIES)},
    "bands_for": lambda modality="S2L2A": MODALITIES.get(modality, SENTINEL2_L2A),
}
KINDS = (
    Kind(r"prithvi_swin_.*", _prithvi_swin, 32, **TRAINED),
    Kind(r"prithvi_.*_600.*", _prithvi, 14, **PLAIN, **TRAINED),
    Kind(r"prithvi_.*", _prithvi, 16, **PLAIN, **TRAINED),
    Kind(r"terramind_.*", _terramind, 16, **PLAIN, **MODAL),
    Kind(r"clay_v1_base", _clay, 8, 256, pyramid=False, options={"resolution": 10.0}),
    Kind(r"UNet", _unet, 16),
    Kind(r"dofa_.*", _dofa, 16, **PLAIN),
    Kind(r".*_resnet\d+_.*", _resnet, 32),
    Kind(r".*_swin_[tb]_.*", _torchgeo, 32),
    Kind(r".*_vit_.*", _vit, 16, **PLAIN),
)


def spec(name: str) -> EncoderSpec:
    """The spec of one backbone. Raises UnknownNameError with near matches, and ConfigError for one that gives no maps of an image."""
    from terratorch.registry import TERRATORCH_BACKBONE_REGISTRY

    known = sorted([*TERRATORCH_BACKBONE_REGISTRY, *IN_TIMM])
    if name not in known and name.startswith("timm_"):
        raise ConfigError(f"terratorch:{name} is timm's {name[5:]}", f"timm:{name[5:]}")
    if name not in known:
        raise UnknownNameError("encoder", f"terratorch:{name}", [f"terratorch:{one}" for one in known])
    for pattern, (why, instead) in UNUSABLE.items():
        if re.match(pattern, name):
            raise ConfigError(f"terratorch's {name} can't be an encoder here: {why}", instead)
    kind = next((kind for kind in KINDS if re.fullmatch(kind.pattern, name)), None)
    if kind is None:
        raise ConfigError(f"terratorch's {name} is of no kind that is known to give maps of an image", "harness list encoders")
    return _spec(name, kind)


def _spec(name: str, kind: Kind) -> EncoderSpec:
    return EncoderSpec(
        name=f"terratorch:{name}",
        build=partial(build, name=name, kind=kind),
        load_weights=partial(load_maps, name=_network_name(name)) if kind.make in TORCHGEO else load_layers,
        divisor=kind.divisor,
        input_size=kind.input_size,
        flexible=kind.flexible,
        pyramid=kind.pyramid,
        bands=kind.bands_for() if kind.bands_for else None,
        bands_for=kind.bands_for,
        options=kind.options,
        choices=kind.choices,
        description=f"terratorch's {name}",
        license="network Apache-2.0 (terratorch); weights: see source",
        source="https://github.com/terrastackai/terratorch",
        extra="zoo",
    )


def _network_name(name: str) -> str:
    """What timm or torchgeo call the network that terratorch wraps."""
    found = re.search(r"resnet\d+|vit_small_patch16_224", name)
    return found[0] if found else name


def build(bands: Sequence[Band], input_size: int, *, name: str, kind: Kind, **options: Any) -> nn.Module:
    """The backbone with fresh weights. Raises ConfigError where it gives no maps of these bands at this size."""
    require_some_bands(f"terratorch:{name}", len(bands))
    require_multiple(f"terratorch:{name}", input_size, kind.divisor)
    module = kind.make(name, bands, input_size, **options)
    require_maps(f"terratorch:{name}", module, len(bands), input_size)
    return module


ENCODER = EncoderFamily(
    name="terratorch",
    spec=spec,
    description="backbones of terratorch's registry with feature maps",
    examples=("prithvi_eo_v2_tiny_tl", "terramind_v1_tiny", "clay_v1_base", "satlas_swin_t_sentinel2_si_ms"),
)
