"""Checkpoints of PANGAEA and Cryo-Bench: the reference's logits from its own key layout, every tensor accounted for, and what is refused.

The encoder's maps are compared with those recorded of the reference; the logits with a second implementation of its decoders
(`tests/pangaea_reference.py`) on these maps, which is itself compared with terratorch's UPerNet.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.core.errors import CheckpointError, ConfigError, UnknownNameError
from harness.support.imports import Facts, Imported, imported
from harness.support.pangaea_encoders import KNOWN, bands_of, options_for, recognized
from harness.support.sensors import sentinel2
from harness.support.terratorch_parts import terratorch_module
from tests import pangaea_reference as pangaea
from tests.contract.test_zoo_golden import TOLERANCE, worst_error
from tests.zoo_reference import CASES, Case, facts, golden_input, hashed, reference_tensors

STATE = "state of the training"
#: The 16 models of the paper, RAMEN at 128 px: at 512 px it takes minutes.
PAPER = [case for case in CASES if "@" not in case.reference and case.reference != "RAMEN"] + [case for case in CASES if case.reference == "RAMEN@128"]
BY_NAME = {case.reference: case for case in CASES}
#: Tensors folded and dropped; of the others each is used.
FOLDED = {"U-Net": 0, "Prithvi": 6, "SpectralGPT": 12 + 72}
DROPPED = {"CROMA": 132, "GFM-Swin": 37, "SatlasNet": 52, "S12-DINO": 2, "S12-Data2Vec": 4}
#: Whole images take less than a second in both decoders.
QUICK = ("RemoteCLIP", "GFM-Swin", "SatlasNet")


def pair(case: Case) -> str:
    return f"{case.encoder}+{'unet' if case.encoder == 'unet' else 'upernet'}"


def facts_of(case: Case, **changes) -> Facts:
    """What a user says; options that the file tells are not said."""
    told = {name: value for name, value in case.options.items() if name in ("input_resolution", "resolution")}
    return Facts(**{"model": pair(case), "num_classes": 2, "bands": case.bands, "input_size": case.input_size, "encoder_options": told, **changes})


def brought(case: Case, tensors: dict[str, Tensor], folder: Path, **changes) -> Imported:
    """The tensors saved as a training saves them, and imported; the file is gone afterwards, for the largest takes a gigabyte."""
    path = pangaea.saved(folder / "checkpoint.pth", tensors)
    try:
        with pangaea.Unset():
            return imported(path, facts_of(case, **changes))
    finally:
        path.unlink()


def expected(case: Case, tensors: dict[str, Tensor], maps: list[Tensor], side: int) -> Tensor:
    decode = pangaea.unet if case.encoder == "unet" else pangaea.upernet
    return decode(tensors, maps, (side, side))


def relative_error(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    assert wanted.std() > 0.05
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("case", PAPER, ids=lambda case: case.reference)
@torch.no_grad()
def test_features_and_logits_are_the_references_and_every_tensor_is_accounted_for(case, tmp_path):
    """The decoders run on a quarter of each map, which takes a quarter of the time and shows the same."""
    tensors = pangaea.model_tensors(case)
    found = brought(case, tensors, tmp_path)
    maps = found.network.encoder(golden_input(case.reference))
    wanted = facts("golden_features")[case.reference]["maps"]
    pairs = zip(maps[::-1] if case.reverse else maps, wanted, strict=True)
    assert max(worst_error(one, recorded) for one, recorded in pairs) <= TOLERANCE
    parts = [one[..., : one.shape[-2] // 2, : one.shape[-1] // 2] for one in maps]
    side = case.size // 2
    assert relative_error(found.network.decoder(parts, (side, side)), expected(case, tensors, parts, side)) <= TOLERANCE
    if case.reference in QUICK:
        assert relative_error(found.network(golden_input(case.reference)), expected(case, tensors, maps, case.size)) <= TOLERANCE
    require_account(case, found, tensors)


def require_account(case: Case, found: Imported, tensors: dict[str, Tensor]) -> None:
    dropped = [name for reason, names in found.report["dropped"].items() if reason != STATE for name in names]
    assert (len(found.report["folded"]), len(dropped)) == (FOLDED.get(case.reference, 12), DROPPED.get(case.reference, 0))
    assert found.report["used"] + len(found.report["folded"]) + len(dropped) == len(tensors)
    assert set(found.report["folded"]) <= tensors.keys()


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in PAPER if case.reference not in QUICK], ids=lambda case: case.reference)
@torch.no_grad()
def test_logits_of_a_whole_image_are_the_references(case, tmp_path):
    tensors = pangaea.model_tensors(case)
    network = brought(case, tensors, tmp_path).network
    image = golden_input(case.reference)
    wanted = expected(case, tensors, network.encoder(image), case.size)
    assert relative_error(network(image), wanted) <= TOLERANCE


@torch.no_grad()
def test_the_second_upernet_is_terratorchs(monkeypatch):
    """An outside implementation, given the biases that its convolutions have not. Of terratorch only two files are loaded."""
    root = Path(importlib.util.find_spec("terratorch").submodule_search_locations[0])
    registry = types.SimpleNamespace(TERRATORCH_DECODER_REGISTRY=types.SimpleNamespace(register=lambda kind: kind))
    for name, module in (("terratorch", types.ModuleType("terratorch")), ("terratorch.registry", registry)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("harness.support.terratorch_parts._root", lambda: root)
    library = terratorch_module("upernet_decoder", "models.decoders").UperNetDecoder([256, 512, 1024, 1024], channels=512, align_corners=False).eval()
    tensors = {name: hashed(name, shape) for name, (shape, *_) in pangaea.decoder_tensors("GFM-Swin").items()}
    _fill(library, tensors)
    maps = [torch.randn(1, width, side, side, generator=torch.Generator().manual_seed(side)) for width, side in ((256, 12), (512, 6), (1024, 3), (1024, 3))]
    wanted = torch.nn.functional.conv2d(library([one.clone() for one in maps]), tensors["conv_seg.weight"], tensors["conv_seg.bias"])
    assert relative_error(pangaea.upernet(tensors, maps, (12, 12)), wanted) <= TOLERANCE


def _fill(library: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """The reference's tensors in order: both have pooling, bottleneck, laterals and the others in the same order, each convolution before its norm."""
    modules = dict(library.named_modules())
    for name, module in modules.items():
        if not isinstance(module, torch.nn.Conv2d | torch.nn.BatchNorm2d):
            continue
        theirs = _name_in_reference(name, is_conv=isinstance(module, torch.nn.Conv2d))
        if isinstance(module, torch.nn.Conv2d):
            module.bias = torch.nn.Parameter(torch.zeros(module.out_channels))
        module.load_state_dict({leaf: tensors[f"{theirs}.{leaf}"] for leaf in module.state_dict() if leaf != "num_batches_tracked"}, strict=False)


def _name_in_reference(name: str, *, is_conv: bool) -> str:
    part, _, rest = name.partition(".")
    number = next((f".{word}" for word in rest.split(".") if part in ("psp_modules", "lateral_convs", "fpn_convs") and word.isdigit()), "")
    return f"{part}{number}.{int(not is_conv) + (part == 'psp_modules')}"


#: One network, trained in two ways.
TWINS = ("s12_moco", "s12_mae")
VARIANTS = {
    "CROMA@sar": {"modality": "sar"},
    "S12-MAE@sar": {"sensor": "s1"},
    "TerraMind": {"reference_bugs": True},
    "TerraMind@sar": {"modality": "s1"},
    "TerraMind@mm": {"modality": "both", "reference_bugs": True},
    "S12-DINO": {"reference_bugs": True},
}


@pytest.mark.parametrize("case", [case for case in CASES if case.reference in facts("state_dicts")], ids=lambda case: case.reference)
def test_a_file_tells_its_encoder_and_the_options_that_matter(case):
    tensors = {name: pangaea.constant(shape, dtype, value=1) for name, (shape, dtype, _) in reference_tensors(case.reference).items()}
    assert recognized(tensors) == (TWINS if case.encoder in TWINS else (case.encoder,))
    assert options_for(case.encoder, tensors) == VARIANTS.get(case.reference, {})


def test_every_model_of_the_paper_is_recognized_by_something():
    assert {case.encoder for case in PAPER} == KNOWN
    assert len(PAPER) == 16


def test_a_vit_without_positions_is_built_as_the_reference_builds_it():
    assert options_for("vit", {"pos_embed": torch.zeros(1, 197, 768)}) == {"reference_bugs": True}
    assert options_for("terramind", {"encoder_norm.weight": torch.ones(1024)}) == {"size": "large"}
    assert options_for("croma", {"cross_encoder.norm_out.weight": torch.ones(1)}) == {"modality": "joint"}


def test_encoders_are_told_the_wavelengths_of_their_training():
    """Cryo-Bench's configurations of DOFA and RAMEN, and one of a run that has its own."""
    names = ["B4", "B8A", "B12", "SLOPE", "VV"]
    told = {encoder: [band.wavelength_um for band in bands_of(encoder, names)] for encoder in ("dofa", "ramen", "unet")}
    assert told == {"dofa": [0.665, 0.864, 2.2, 0.49, None], "ramen": [0.665, 0.865, 2.2, 1.24, None], "unet": [0.665, 0.865, 2.19, None, None]}
    assert [band.wavelength_um for band in bands_of("dofa", names[:2], {"B8A": 0.9})] == [0.665, 0.9]
    assert bands_of("vit", ["B2"], {"B2": 0.1}) == sentinel2("B2")
    with pytest.raises(ConfigError, match="unknown bands X"):
        bands_of("dofa", ["B4", "X"])


U_NET = BY_NAME["U-Net"]


@pytest.fixture(scope="module")
def unet_tensors() -> dict[str, Tensor]:
    return pangaea.model_tensors(U_NET)


def same(one: Imported, other: Imported) -> bool:
    first, second = one.network.state_dict(), other.network.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_wrappers_are_taken_off(unet_tensors, tmp_path):
    wanted = brought(U_NET, unet_tensors, tmp_path)
    contents = {
        "bare": unet_tensors,
        "module": {f"module.{name}": tensor for name, tensor in unet_tensors.items()},
        "lightning": {"state_dict": {f"model.{name}": tensor for name, tensor in unet_tensors.items()}, "epoch": 3},
        "wrapped twice": {"model": {f"module.{name}": tensor for name, tensor in unet_tensors.items()}},
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.pt")
        assert same(imported(tmp_path / f"{name}.pt", facts_of(U_NET)), wanted), name
    save_file({f"model.{name}": tensor.contiguous() for name, tensor in unet_tensors.items()}, tmp_path / "all.safetensors")
    assert same(imported(tmp_path / "all.safetensors", facts_of(U_NET)), wanted)
    assert [name.partition(" ")[0] for name in wanted.report["dropped"][STATE]] == ["optimizer"]


@torch.no_grad()
def test_a_frozen_encoder_comes_over_as_it_was_and_only_the_decoder_differs(tmp_path):
    """A frozen training saves the same encoder at every epoch; half precision in the file is no hindrance."""
    case = BY_NAME["S12-MoCo"]
    first = pangaea.blank(case.reference)
    second = {name: tensor if name.startswith("encoder.") or not tensor.is_floating_point() else (tensor + 1).half() for name, tensor in first.items()}
    networks = [brought(case, tensors, tmp_path, regime="frozen").network for tensors in (first, second)]
    for name, tensor in networks[0].encoder.state_dict().items():
        assert torch.equal(tensor, first[f"encoder.{name}"])
        assert torch.equal(tensor, networks[1].encoder.state_dict()[name])
    assert torch.equal(networks[1].decoder.classify.bias, first["conv_seg.bias"] + 1)
    mean = "psp_modules.2.2.running_mean"
    assert torch.equal(networks[0].decoder.pools[2][1][1].running_mean, first[mean] - first["psp_modules.2.1.bias"])


def test_a_narrower_decoder_tells_its_width(tmp_path):
    case = BY_NAME["S12-MAE"]
    tensors = {name: _narrowed(name, tensor) for name, tensor in pangaea.blank(case.reference).items()}
    found = brought(case, tensors, tmp_path)
    assert found.decoder_options == {"width": 64}
    assert found.network.decoder.classify.weight.shape == (2, 64, 1, 1)


def _narrowed(name: str, tensor: Tensor) -> Tensor:
    if name.startswith(("encoder.", "neck.")):
        return tensor
    inputs = {"bottleneck.0.weight": 384 + 4 * 64, "fpn_bottleneck.0.weight": 4 * 64}
    shape = [64 if side == 512 else side for side in tensor.shape]
    shape[1:2] = [inputs.get(name, shape[1])] if len(shape) > 1 else []
    return pangaea.constant(tuple(shape), str(tensor.dtype).removeprefix("torch."), value=1)


def refused(tensors: dict[str, Tensor], folder: Path, case: Case = U_NET, **changes) -> CheckpointError:
    with pytest.raises(CheckpointError) as raised:
        brought(case, tensors, folder, **changes)
    return raised.value


def test_every_tensor_that_does_not_fit_is_named_by_the_files_own_names(unet_tensors, tmp_path):
    tensors = {**unet_tensors, "encoder.extra.weight": torch.ones(1), "tmap.weight": torch.ones(1), "conv_seg.conv.bias": torch.ones(2, 1)}
    gone = ("encoder.encoder.down_seq.down3.mpconv.1.conv.4.running_var", "decoder.up_seq.up2.up.bias")
    for name in gone:
        del tensors[name]
    message = refused(tensors, tmp_path).message
    for name in ("extra.weight", "tmap.weight", *(name.removeprefix("encoder.") if "down3" in name else name for name in gone)):
        assert name in message, name
    assert "conv_seg.conv.bias (2, 1) instead of (2,)" in message


def test_a_missing_bias_that_would_be_folded_is_named(tmp_path):
    case = BY_NAME["S12-MoCo"]
    tensors = pangaea.blank(case.reference)
    del tensors["psp_modules.1.1.bias"]
    assert refused(tensors, tmp_path, case).message.endswith("decoder: missing 1: psp_modules.1.1.bias")


@pytest.mark.parametrize(
    ("reference", "wrong"),
    [("DOFA", "vit+upernet"), ("S12-DINO", "s12_mae+upernet"), ("U-Net", "unet+upernet"), ("ViT", "s12_moco+upernet"), ("DOFA@SICD", "croma+upernet")],
)
def test_a_wrong_model_is_answered_with_the_right_one(reference, wrong, tmp_path):
    case = BY_NAME[reference]
    error = refused(pangaea.blank(reference.partition("@")[0]), tmp_path, case, model=wrong)
    assert wrong in error.message
    assert pair(case) in error.message
    assert f"--model {pair(case)}" in error.hint


def test_another_number_of_classes_is_named_with_the_flag_that_fits(unet_tensors, tmp_path):
    error = refused(unet_tensors, tmp_path, num_classes=6)
    assert "2 classes" in error.message
    assert "6" in error.message
    assert error.hint == "--classes 2"
    assert brought(U_NET, unet_tensors, tmp_path, num_classes=None).network.decoder.classify.out_channels == 2


def test_nothing_is_interpolated_repeated_or_left_at_random(tmp_path):
    """Another size, another number of bands and a missing final norm: the loaders of official files would adapt these."""
    vit, dofa = BY_NAME["ViT"], BY_NAME["DOFA"]
    assert "pos_embed" in refused(pangaea.blank("ViT"), tmp_path, vit, input_size=256).message
    assert "patch_embed.proj.weight" in refused(pangaea.blank("ViT"), tmp_path, vit, bands=("VV",)).message
    tensors = {name: tensor for name, tensor in pangaea.blank("DOFA").items() if name != "encoder.norm.weight"}
    assert "missing 1: norm.weight" in refused(tensors, tmp_path, dofa).message


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_files_that_are_no_checkpoint_are_refused(unet_tensors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": unet_tensors, "config": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "evil.pth").read_bytes()[:-5000])
    torch.save({"model": {name: tensor for name, tensor in unet_tensors.items() if not name.startswith("encoder.")}}, tmp_path / "decoder.pth")
    torch.save({name.removeprefix("encoder."): tensor for name, tensor in unet_tensors.items() if name.startswith("encoder.in")}, tmp_path / "encoder.pth")
    said = {"evil.pth": "mkdir", "cut.pth": "not a whole", "decoder.pth": "no encoder", "encoder.pth": "no encoder", "absent.pth": "does not exist"}
    for name, text in said.items():
        with pytest.raises(CheckpointError, match=text):
            imported(tmp_path / name, facts_of(U_NET))
    assert not (tmp_path / "evil").exists()


def test_what_is_asked_for_wrongly_is_a_usage_error(unet_tensors, tmp_path):
    path = pangaea.saved(tmp_path / "c.pth", unet_tensors)
    wrong = {
        "no such project": ({}, "mmseg"),
        "decoder": ({"model": "vit+fpn"}, "pangaea"),
        "two means": ({"mean": (1.0, 2.0)}, "pangaea"),
        "std of 0": ({"std": (1.0, 0.0, 1.0)}, "pangaea"),
        "unknown band": ({"bands": ("X",)}, "pangaea"),
    }
    for changes, source in wrong.values():
        with pytest.raises(ConfigError):
            imported(path, facts_of(U_NET, **changes), source=source)
    with pytest.raises(UnknownNameError):
        imported(path, replace(facts_of(U_NET), model="doofa+upernet"))


@torch.no_grad()
def test_normalization_becomes_part_of_the_network(unet_tensors, tmp_path):
    mean, std = (120.0, 124.7, 123.1), (74.6, 74.3, 76.5)
    plain, normalizing = (brought(U_NET, unet_tensors, tmp_path, **more).network for more in ({}, {"mean": mean, "std": std}))
    image = golden_input("U-Net")[..., :64, :64]
    pixels = image * torch.tensor(std).view(1, 3, 1, 1) + torch.tensor(mean).view(1, 3, 1, 1)
    assert torch.allclose(normalizing(pixels), plain(image), atol=1e-4)
