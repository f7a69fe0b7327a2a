"""What every encoder keeps: maps of the sizes that it announces, its bands, its errors. Nothing is computed: shapes are found on the meta device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError, HarnessError, UnknownNameError
from harness.core.registry import ENCODERS
from harness.core.specs import Band, EncoderSpec

TERRATORCH = {"prithvi", "prithvi_v2", "terramind"}
PLAIN = [name for name in ENCODERS.names() if not hasattr(ENCODERS.family(name), "spec")]
MEMBERS = [f"{family}:{example}" for family in ENCODERS.names() if family not in PLAIN for example in ENCODERS.family(family).examples]
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in TERRATORCH)) for name in (*PLAIN, *MEMBERS)]
#: Encoders of one band, whichever it is.
ONE_BAND = {"momo"}
WAVELENGTHS = (0.49, 0.56, 0.665, 0.842)


def generic_bands(count: int) -> tuple[Band, ...]:
    return tuple(Band(name=f"band{index}", wavelength_um=WAVELENGTHS[index % len(WAVELENGTHS)]) for index in range(count))


def bands_for(spec: EncoderSpec) -> tuple[Band, ...]:
    return spec.bands or generic_bands(1 if spec.name in ONE_BAND else 3)


def size_for(spec: EncoderSpec) -> int:
    return spec.input_size or 2 * spec.divisor


def maps_of(module: nn.Module, bands: int, size: int, batch: int = 2) -> list[Tensor]:
    with torch.no_grad():
        return module.eval()(torch.empty(batch, bands, size, size))


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_as_announced(name):
    spec = ENCODERS.load(name)
    bands, size = bands_for(spec), size_for(spec)
    with torch.device("meta"):
        module = spec.build(bands, size)
        maps = maps_of(module, len(bands), size)
    assert [tuple(one.shape) for one in maps] == [
        (2, channels, size // by, size // by) for channels, by in zip(module.channels, module.reductions, strict=True)
    ]
    assert size % spec.divisor == 0
    assert list(module.reductions) == sorted(module.reductions)
    assert not spec.pyramid or len(set(module.reductions)) > 1
    assert isinstance(module.channels, tuple)
    assert isinstance(module.reductions, tuple)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name):
    spec = ENCODERS.load(name)
    assert spec.name == name
    assert spec.description
    assert spec.license
    assert spec.source


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_of_any_bands_takes_any_number_of_them(name):
    spec = ENCODERS.load(name)
    if spec.bands is not None or name in ONE_BAND:
        pytest.skip(f"{name} takes only {len(bands_for(spec))} bands")
    size = size_for(spec)
    for count in (1, 5):
        with torch.device("meta"):
            module = spec.build(generic_bands(count), size)
            assert len(maps_of(module, count, size)) == len(module.channels)
            with pytest.raises((RuntimeError, HarnessError, AssertionError, IndexError)):
                maps_of(module, count + 1, size)


@pytest.mark.parametrize("name", NAMES)
def test_other_bands_than_its_own_are_refused(name):
    spec = ENCODERS.load(name)
    wrong = () if spec.bands is None else spec.bands[:-1]
    with torch.device("meta"), pytest.raises(ConfigError):
        spec.build(wrong, size_for(spec))


@pytest.mark.parametrize("name", NAMES)
def test_a_size_that_its_patches_do_not_divide_is_refused(name):
    spec = ENCODERS.load(name)
    if spec.input_size is None:
        pytest.skip(f"{name} takes any size")
    with torch.device("meta"), pytest.raises(ConfigError):
        spec.build(bands_for(spec), spec.input_size + 1)


def test_a_timm_name_that_is_not_known_gives_near_matches():
    with pytest.raises(UnknownNameError, match="timm:resnet18") as raised:
        ENCODERS.load("timm:resnet81")
    assert "timm:resnet18" in raised.value.near


def test_a_timm_tag_that_is_not_known_gives_those_that_are():
    with pytest.raises(UnknownNameError, match=r"timm:resnet18\.a1_in1k"):
        ENCODERS.load("timm:resnet18.a9_in1k")


def test_a_timm_backbone_whose_maps_are_not_whole_is_refused():
    with pytest.raises(ConfigError, match="61"):
        ENCODERS.load("timm:inception_v3").build(generic_bands(3), 128)
