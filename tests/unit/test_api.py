"""The Python API: what it builds against recorded facts of the reference, its inputs, its errors, and the examples of its page."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness.api import build_model, count_flops, load_checkpoint
from harness.core.artifact import CHECKPOINT_FILE, WEIGHTS_FILE
from harness.core.errors import CheckpointError, ConfigError, DataError, MeasurementError, UnknownNameError
from harness.core.files import sha256_of_file, write_value
from harness.support.sensors import SENTINEL2
from tests.builders import checkpoint

ROOT = Path(__file__).parents[2]
REFERENCE = json.loads((ROOT / "tests" / "data" / "zoo" / "encoders.json").read_text())


def meta_model(model, **options):
    with torch.device("meta"):
        return build_model(model, **options)


def written(folder, model="unet+unet"):
    """A checkpoint folder of three bands as `harness train` writes it, with a std of 255; and the network without."""
    network = build_model(model)
    folder.mkdir(parents=True)
    save_file({**network.state_dict(), "std": torch.full((1, 3, 1, 1), 255.0)}, folder / WEIGHTS_FILE)
    write_value(folder / CHECKPOINT_FILE, checkpoint(model, weights_sha256=sha256_of_file(folder / WEIGHTS_FILE)))
    return network


@pytest.mark.parametrize(
    ("model", "name"), [("vit+upernet", "ViT"), ("remoteclip+upernet", "RemoteCLIP"), ("s12_moco+fpn", "S12-MoCo"), ("unet+unet", "U-Net")]
)
def test_encoders_have_the_reference_s_parameters_and_flops(model, name):
    facts = REFERENCE[name]
    network = meta_model(model, input_size=facts["input_size"])
    shape = (1, len(facts["input_bands"]["optical"]), facts["input_size"], facts["input_size"])
    assert sum(parameter.numel() for parameter in network.encoder.parameters()) == facts["params_encoder"]
    assert count_flops(network.encoder, shape) == pytest.approx(facts["flops_encoder"], rel=1e-3)
    assert count_flops(network, shape) > facts["flops_encoder"]


def test_a_multi_modal_encoder_takes_a_dict_and_has_the_reference_s_flops():
    network = meta_model("terramind+linear", encoder_options={"modality": "both"})
    facts = REFERENCE["TerraMind@mm"]
    by_sensor = {"optical": (1, 12, 224, 224), "sar": (1, 2, 224, 224)}
    assert count_flops(network.encoder, by_sensor) == pytest.approx(facts["flops_encoder"], rel=1e-3)
    assert count_flops(network.encoder, by_sensor) == count_flops(network.encoder, (1, 14, 224, 224))


def test_a_size_that_the_encoder_cannot_take_is_not_rounded_in_silence():
    with pytest.raises(ConfigError, match="takes multiples of 16 px, got --input-size 33") as error:
        build_model("unet+unet", input_size=33)
    assert error.value.hint == "--input-size 48"


@pytest.mark.parametrize("input_size", [None, 96])
@pytest.mark.parametrize("model", ["unet+unet", "timm:resnet18+fpn"])
def test_shapes_in_and_out(model, input_size):
    network = build_model(model, num_classes=5, bands=["B8", "VV"], input_size=input_size)
    image = torch.rand(2, 2, 96, 64)
    with torch.no_grad():
        logits, maps = network(image), network.encoder(image)
        assert torch.equal(network.decoder(maps, (96, 64)), logits)
    assert logits.shape == (2, 5, 96, 64)
    assert [found.shape[1] for found in maps] == list(network.encoder.channels)
    assert isinstance(network, nn.Module)
    assert not network.training


def small(*bands, **options):
    """A network of few parameters whose encoder takes the 13 bands of Sentinel-2 and no others."""
    return build_model("s12_moco+linear", bands=bands or None, input_size=64, **options)


def test_the_encoder_gets_its_bands_in_its_order_and_the_whole_is_not_normalized():
    wanted = small()
    names = [band.name for band in SENTINEL2]
    image = torch.rand(1, 13, 64, 64) * 100
    swapped = small("VV", *reversed(names), "VH")
    swapped.load_state_dict({**wanted.state_dict(), "mean": swapped.mean, "std": swapped.std})
    shuffled = torch.cat([torch.full((1, 1, 64, 64), 7.0), image.flip(1), torch.full((1, 1, 64, 64), 9.0)], dim=1)
    by_sensor = {"sar": shuffled[:, [0, -1]], "optical": shuffled[:, 1:-1]}
    with torch.no_grad():
        assert torch.equal(wanted.decoder(wanted.encoder(image), (64, 64)), wanted(image))
        for given in (shuffled, by_sensor):
            assert torch.equal(swapped(given), wanted(image))
            assert torch.equal(swapped.encoder(given)[-1], wanted.encoder(image)[-1])


def test_missing_bands_are_zeros_only_when_asked_for():
    names = [band.name for band in SENTINEL2 if band.name != "B10"]
    with torch.device("meta"), pytest.raises(ConfigError, match="lacks B10"):
        small(*names)
    filled, whole = small(*names, fill_missing=True), small()
    whole.load_state_dict({**filled.state_dict(), "mean": whole.mean, "std": whole.std})
    image = torch.rand(1, 13, 64, 64)
    image[:, 10] = 0
    rest = [index for index in range(13) if index != 10]
    with torch.no_grad():
        assert torch.equal(filled(image[:, rest]), whole(image))
        assert torch.equal(filled.encoder(image[:, rest])[0], whole.encoder(image)[0])


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"model": "dofaa+upernet"}, UnknownNameError, "did you mean 'dofa'"),
        ({"model": "dofa+uper"}, UnknownNameError, "'upernet'"),
        ({"model": "dofa"}, ConfigError, "<encoder>\\+<decoder>"),
        ({"model": "vit+upernet", "bands": ["B99"]}, ConfigError, "unknown bands B99"),
        ({"model": "vit+upernet", "bands": []}, ConfigError, "at least one band"),
        ({"model": "remoteclip+upernet", "bands": ["VV", "VH"]}, ConfigError, "has none of them but VV"),
        ({"model": "vit+upernet", "encoder_options": {"depth": 3}}, ConfigError, "has no option depth"),
        ({"model": "vit+upernet", "decoder_options": {"wide": 3}}, ConfigError, "has no option wide"),
    ],
)
def test_what_can_t_be_built_says_why(arguments, error, said):
    with pytest.raises(error, match=said):
        meta_model(**arguments)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (torch.rand(1, 3, 64, 64), r"\(B, 4, H, W\) of the bands VV, B4, B3, B2; got \(1, 3, 64, 64\)"),
        (torch.rand(4, 64, 64), r"got \(4, 64, 64\)"),
        ({"optical": torch.rand(1, 3, 64, 64)}, "one tensor for each of sar, optical; got optical"),
        ({"optical": torch.rand(1, 1, 64, 64), "sar": torch.rand(1, 1, 64, 64)}, r"optical input is \(B, 3, H, W\)"),
    ],
)
def test_an_image_of_other_bands_is_refused_by_model_and_encoder(image, said):
    network = build_model("unet+unet", bands=["VV", "B4", "B3", "B2"])
    for part in (network, network.encoder):
        with pytest.raises(DataError, match=said):
            part(image)


def test_a_checkpoint_gives_the_trained_logits(tmp_path):
    network = written(tmp_path / "run")
    loaded = load_checkpoint(str(tmp_path / "run"))
    image = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        assert torch.equal(loaded({"optical": image}), loaded(image))
        assert not torch.allclose(loaded(image), network(image))
        assert torch.allclose(loaded(image), network(image / 255))
    assert not loaded.training
    with pytest.raises(DataError, match="red, green, blue"):
        loaded(image[:, :2])
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path)


def test_a_built_model_can_be_copied_pickled_exported_and_trained(tmp_path):
    network = build_model("unet+linear")
    image = torch.rand(2, 3, 32, 32)
    torch.save(network, tmp_path / "network.pt")
    again = torch.load(tmp_path / "network.pt", weights_only=False)  # our own file
    program = torch.export.export(network, (image,), strict=False).module()
    with torch.no_grad():
        assert torch.equal(again(image), network(image))
        assert torch.allclose(program(image), network(image), atol=1e-5)
    network.train()(image).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_counting_a_real_model_needs_no_eval_and_changes_nothing():
    network = build_model("unet+unet").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert count_flops(network, (1, 3, 512, 512)) == pytest.approx(2 * 127.993e9, rel=1e-4)  # the reference's table
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.training
    with pytest.raises(DataError, match="got"):
        count_flops(network, (1, 4, 64, 64))
    with pytest.raises(MeasurementError, match="no FLOP rule"):
        count_flops(nn.Bilinear(4, 4, 4), [(2, 4), (2, 4)])


def test_the_page_s_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "runs" / "unet+unet--synthetic--scratch--seed0")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)
    assert len(blocks) >= 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/api.md", "exec"), names)


def test_importing_the_api_loads_no_framework():
    code = "import sys, harness.api; assert not {'torch', 'timm', 'numpy', 'terratorch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
