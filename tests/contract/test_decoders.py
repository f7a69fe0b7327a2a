"""What every decoder keeps: logits at the size that is asked for, from any encoder's maps, every weight trained; and the reference's parameters."""

from __future__ import annotations

import pytest
import torch

from harness.core.errors import ConfigError
from harness.core.registry import DECODERS

NAMES = DECODERS.names()
#: Channels, reductions and whether they are a pyramid, of encoders that exist.
PYRAMIDS = {
    "unet": ((64, 128, 256, 512, 512), (1, 2, 4, 8, 16)),
    "resnet": ((16, 16, 24, 48, 96), (2, 4, 8, 16, 32)),
    "swin": ((32, 64, 128, 256), (4, 8, 16, 32)),
    "gfm_swin": ((256, 512, 1024, 1024), (8, 16, 32, 32)),
}
PLAIN = {"vit": ((48,) * 4, (16,) * 4), "prithvi": ((48,), (16,)), "three maps": ((48,) * 3, (16,) * 3), "five maps": ((48,) * 5, (8,) * 5)}
SIZE = 64


def features(channels, reductions, size=SIZE, batch=2):
    return [torch.rand(batch, width, size // by, size // by) for width, by in zip(channels, reductions, strict=True)]


def built(name, channels, reductions, *, pyramid, classes=3):
    torch.manual_seed(0)
    return DECODERS.load(name).build(channels, reductions, classes, pyramid=pyramid)


def accepts(name, encoder):
    return name != "unet" or (encoder in PYRAMIDS and encoder != "gfm_swin")


CASES = [(name, encoder) for name in NAMES for encoder in (*PYRAMIDS, *PLAIN)]


@pytest.mark.parametrize(("name", "encoder"), [case for case in CASES if accepts(*case)])
def test_logits_have_the_size_of_the_input(name, encoder):
    maps = (PYRAMIDS | PLAIN)[encoder]
    with torch.device("meta"):
        decoder = built(name, *maps, pyramid=encoder in PYRAMIDS)
        assert decoder(features(*maps), (SIZE, SIZE)).shape == (2, 3, SIZE, SIZE)
        assert decoder.eval()(features(*maps, batch=1), (SIZE, SIZE)).shape == (1, 3, SIZE, SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_trained(name):
    maps = PYRAMIDS["swin"]
    decoder = built(name, *maps, pyramid=True)
    decoder(features(*maps), (SIZE, SIZE)).square().sum().backward()
    assert [key for key, parameter in decoder.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", NAMES)
def test_logits_follow_from_the_maps_of_their_own_tile(name):
    maps = PYRAMIDS["resnet"]
    decoder = built(name, *maps, pyramid=True).eval()
    inputs = features(*maps)
    with torch.no_grad():
        together = decoder(inputs, (SIZE, SIZE))
        alone = decoder([one[:1] for one in inputs], (SIZE, SIZE))
    assert torch.allclose(together[:1], alone, atol=1e-4)
    assert together.std() > 0


@pytest.mark.parametrize("encoder", [*PLAIN, "gfm_swin"])
def test_unet_refuses_maps_that_do_not_halve(encoder):
    maps = (PYRAMIDS | PLAIN)[encoder]
    with pytest.raises(ConfigError) as raised:
        built("unet", *maps, pyramid=encoder in PYRAMIDS)
    assert "upernet" in raised.value.hint


def params(name, channels, reductions, *, pyramid):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in built(name, channels, reductions, pyramid=pyramid, classes=2).parameters())


def test_unet_has_the_references_parameters():
    assert params("unet", *PYRAMIDS["unet"], pyramid=True) == 5_378_114


@pytest.mark.parametrize(
    ("wanted", "maps", "pyramid", "biases"),
    [
        pytest.param(39_344_898, ((768,) * 4, (16,) * 4), False, 4 + 1 + 3 + 3 + 1, id="ViT"),
        pytest.param(21_640_194, ((768,), (16,)), False, 4 + 1 + 1, id="Prithvi"),
        pytest.param(33_704_962, PYRAMIDS["gfm_swin"], True, 4 + 1 + 3 + 3 + 1, id="GFM-Swin"),
    ],
)
def test_upernet_has_the_references_parameters_but_for_biases_before_a_norm(wanted, maps, pyramid, biases):
    assert params("upernet", *maps, pyramid=pyramid) == wanted - 512 * biases
