"""What every encoder keeps: maps of the sizes that it announces, its bands, its errors. Nothing is computed: shapes are found on the meta device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError, HarnessError, UnavailableError, UnknownNameError
from harness.core.registry import ENCODERS
from harness.core.specs import Band, EncoderSpec

FAMILIES = ("smp", "terratorch", "timm", "torchgeo")
PLAIN = tuple(name for name in ENCODERS.names() if name not in FAMILIES)
#: Twenty-five backbones of the families, one of each kind of network that we know of; terratorch's are in test_terratorch.
TIMM = (
    "resnet18", "mobilenetv3_small_100", "efficientnet_b0", "regnetx_002", "convnext_atto", "swin_tiny_patch4_window7_224", "vit_small_patch16_224",
    "maxvit_tiny_tf_224", "pvt_v2_b0", "mobilevit_xxs", "efficientvit_b0", "hrnet_w18_small", "vit_small_patch16_dinov3", "hiera_tiny_224",
)  # fmt: skip
SMP = ("resnet34", "efficientnet-b0", "mobilenet_v2", "mit_b0", "vgg11", "timm-skresnet18")
TORCHGEO = ("resnet18", "swin_t", "swin_v2_t", "vit_small_patch16_224", "dofa_small_patch16_224")
MEMBERS = tuple(f"{family}:{name}" for family, names in (("timm", TIMM), ("smp", SMP), ("torchgeo", TORCHGEO)) for name in names)
#: Encoders of one band, whichever it is.
ONE_BAND = {"momo"}
WAVELENGTHS = (0.49, 0.56, 0.665, 0.842)


def generic_bands(count: int) -> tuple[Band, ...]:
    return tuple(Band(name=f"band{index}", wavelength_um=WAVELENGTHS[index % len(WAVELENGTHS)]) for index in range(count))


def bands_for(spec: EncoderSpec) -> tuple[Band, ...]:
    """Its own bands; of one that takes any, five."""
    return spec.bands or generic_bands(1 if spec.name in ONE_BAND else 5)


def size_for(spec: EncoderSpec) -> int:
    return spec.input_size or 2 * spec.divisor


def built(spec: EncoderSpec, bands: tuple[Band, ...], **options: object) -> nn.Module:
    with torch.device("meta"):
        return spec.build(bands, size_for(spec), **options).eval()


def maps_of(module: nn.Module, bands: int, size: int) -> list[Tensor]:
    with torch.device("meta"):
        return module(torch.empty(2, bands, size, size))


def require_announced_maps(spec: EncoderSpec) -> None:
    """Sizes, order and kind of the maps, and that each parameter has a part in them."""
    bands, size = bands_for(spec), size_for(spec)
    module = built(spec, bands)
    maps = maps_of(module, len(bands), size)
    assert [tuple(one.shape) for one in maps] == [
        (2, channels, size // by, size // by) for channels, by in zip(module.channels, module.reductions, strict=True)
    ]
    assert size % spec.divisor == 0
    assert list(module.reductions) == sorted(module.reductions)
    assert spec.pyramid == (len(set(module.reductions)) > 1)
    assert (type(module.channels), type(module.reductions)) == (tuple, tuple)
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"meta"}
    torch.stack([one.sum() for one in maps]).sum().backward()
    assert [name for name, tensor in module.named_parameters() if tensor.requires_grad and tensor.grad is None] == []
    if spec.bands is None:
        with pytest.raises((RuntimeError, HarnessError, AssertionError, IndexError)):
            maps_of(module, len(bands) + 1, size)


def require_said_facts(spec: EncoderSpec, name: str) -> None:
    assert spec.name == name
    assert spec.description
    assert spec.license
    assert spec.source


def require_any_number_of_bands(spec: EncoderSpec, count: int, **options: object) -> None:
    module = built(spec, generic_bands(count), **options)
    assert len(maps_of(module, count, size_for(spec))) == len(module.channels)


def require_refusals(spec: EncoderSpec) -> None:
    """Other bands than its own, and a size that its patches don't divide, where it has a size."""
    with pytest.raises(ConfigError):
        built(spec, () if spec.bands is None else spec.bands[:-1])
    if spec.input_size is not None:
        with torch.device("meta"), pytest.raises(ConfigError):
            spec.build(bands_for(spec), spec.input_size + 1)


@pytest.mark.parametrize("name", PLAIN)
def test_maps_are_as_announced_and_no_parameter_is_idle(name):
    require_announced_maps(ENCODERS.load(name))


@pytest.mark.parametrize("name", PLAIN)
def test_it_says_what_it_is(name):
    require_said_facts(ENCODERS.load(name), name)


@pytest.mark.parametrize("name", [name for name in PLAIN if ENCODERS.load(name).bands is None and name not in ONE_BAND])
def test_an_encoder_of_any_bands_takes_one(name):
    require_any_number_of_bands(ENCODERS.load(name), 1)


@pytest.mark.parametrize("name", PLAIN)
def test_other_bands_and_sizes_than_its_own_are_refused(name):
    require_refusals(ENCODERS.load(name))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_librarys_backbone_keeps_the_same_promises(name):
    spec = ENCODERS.load(name)
    require_announced_maps(spec)
    require_said_facts(spec, name)
    require_refusals(spec)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("timm:resnet81", "timm:resnet18"), ("smp:resnet43", "smp:resnet34"), ("torchgeo:swin_v3_t", "torchgeo:swin_v2_t")],
)
def test_a_name_that_is_not_known_gives_near_matches(wrong, near):
    with pytest.raises(UnknownNameError, match=near) as raised:
        ENCODERS.load(wrong)
    assert near in raised.value.near


def test_a_timm_tag_that_is_not_known_gives_those_that_are():
    with pytest.raises(UnknownNameError, match=r"timm:resnet18\.a1_in1k"):
        ENCODERS.load("timm:resnet18.a9_in1k")


@pytest.mark.parametrize(
    ("name", "why", "instead"),
    [
        ("smp:tu-resnet18", "timm's resnet18", "timm:resnet18"),
        ("torchgeo:unet", "whole segmentation network", "smp:"),
        ("torchgeo:earthloc", "one vector", "torchgeo:"),
        ("torchgeo:croma_base", "by modality", "croma"),
        ("torchgeo:copernicusfm_base", "bandwidth", "dofa"),
    ],
)
def test_a_model_that_gives_no_maps_says_why_and_what_does(name, why, instead):
    with pytest.raises(ConfigError, match=why) as raised:
        ENCODERS.load(name)
    assert instead in raised.value.hint


@pytest.mark.parametrize(("name", "size"), [("timm:inception_v3", 128), ("timm:levit_128", 224)])
def test_a_timm_backbone_whose_maps_are_not_whole_is_refused(name, size):
    with pytest.raises(ConfigError, match="gives maps of"):
        ENCODERS.load(name).build(generic_bands(3), size)


def test_a_family_alone_asks_for_a_member():
    with pytest.raises(ConfigError, match="is a family: name a member, for example smp:resnet34"):
        ENCODERS.load("smp")


@pytest.mark.parametrize(
    ("name", "package"), [("smp:resnet34", "segmentation_models_pytorch"), ("torchgeo:resnet18", "torchgeo"), ("terratorch:UNet", "terratorch")]
)
def test_a_library_that_is_missing_is_named_with_the_extra(name, package, monkeypatch):
    import sys

    for module in [module for module in sys.modules if module.partition(".")[0] == package or module == f"harness.encoders.{name.partition(':')[0]}"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [_Missing(package), *sys.meta_path])
    with pytest.raises(UnavailableError, match=f"needs the package '{package}'") as raised:
        ENCODERS.load(name)
    assert raised.value.hint == "pip install 'eo-harness[zoo]'"


class _Missing:
    """A finder for which one package is not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {self.package!r}", name=self.package)
