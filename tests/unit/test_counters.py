"""Counts of any module against counts by hand, the rules of fvcore and of the exported graph against PyTorch's counter, and the errors."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from harness.core.errors import MeasurementError
from harness.support.aten_flops import export_network, flops_of_program
from harness.support.cryo_bench import published
from harness.support.fvcore_flops import default_rules, fvcore_macs
from harness.support.meta import cpu_copy, meta_copy
from harness.support.module_flops import flops_of_module

WIDTH, LENGTH = 32, 10
#: By hand: four projections, then scores and their product with the values; 2 FLOP a multiply-add.
ATTENTION = 2 * (4 * LENGTH * WIDTH**2 + 2 * LENGTH**2 * WIDTH)
SAME = [(1, LENGTH, WIDTH)] * 3
LINEAR = 2 * 4 * 8 * 8


class Does(nn.Module):
    """A module whose forward is a function of itself and the inputs; it has a linear layer of 8 x 8."""

    def __init__(self, function):
        super().__init__()
        self.function, self.layer, self.table = function, nn.Linear(8, 8), [torch.ones(8, 8)]

    def forward(self, *inputs):
        return self.function(self, *inputs)


MODULES = {
    "linear": (nn.Linear(8, 16), (4, 8), 2 * 4 * 8 * 16),
    "linear on a vector": (nn.Linear(8, 16), (8,), 2 * 8 * 16),
    "linear on a vector without bias": (nn.Linear(8, 16, bias=False), (8,), 2 * 8 * 16),
    "grouped convolution": (nn.Conv2d(4, 8, 3, padding=1, groups=2), (1, 4, 10, 10), 2 * 100 * 8 * 2 * 9),
    "depthwise convolution": (nn.Conv2d(4, 4, 3, groups=4), (1, 4, 10, 10), 2 * 64 * 4 * 9),
    "dilated convolution": (nn.Conv2d(4, 8, 3, dilation=2, stride=2), (1, 4, 9, 9), 2 * 9 * 8 * 4 * 9),
    "transposed convolution": (nn.ConvTranspose2d(4, 8, 2, 2), (2, 4, 5, 5), 2 * 2 * 25 * 4 * 8 * 4),
    "grouped transposed convolution": (nn.ConvTranspose2d(4, 8, 3, 2, groups=2), (2, 4, 5, 5), 2 * 2 * 25 * 4 * 4 * 9),
    "convolution in 1D": (nn.Conv1d(4, 8, 3), (2, 4, 10), 2 * 2 * 8 * 8 * 4 * 3),
    "convolution in 3D": (nn.Conv3d(4, 8, 3), (2, 4, 10, 10, 10), 2 * 2 * 512 * 8 * 4 * 27),
    "multi-head attention": (nn.MultiheadAttention(WIDTH, 4, batch_first=True), SAME, ATTENTION),
    "attention by name": (nn.MultiheadAttention(WIDTH, 4, batch_first=True), dict(zip(("query", "key", "value"), SAME, strict=True)), ATTENTION),
    "attention of two widths": (
        nn.MultiheadAttention(WIDTH, 4, kdim=16, vdim=24, batch_first=True),
        [(1, LENGTH, WIDTH), (1, 7, 16), (1, 7, 24)],
        2 * (2 * LENGTH * WIDTH**2 + 7 * 16 * WIDTH + 7 * 24 * WIDTH + 2 * LENGTH * 7 * WIDTH),
    ),
    "transformer": (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True), 2),
        (1, LENGTH, WIDTH),
        2 * (ATTENTION + 2 * 2 * LENGTH * WIDTH * 64),
    ),
    "fused attention": (Does(lambda self, q: F.scaled_dot_product_attention(q, q, q)), (2, 3, 10, 16), 4 * 2 * 3 * 100 * 16),
    "einsum": (Does(lambda self, a, b: torch.einsum("bhid,bhjd->bhij", a, b)), [(2, 3, 4, 5), (2, 3, 6, 5)], 2 * 2 * 3 * 4 * 6 * 5),
    "matrix and vector": (Does(lambda self, a, b: a @ b), [(4, 5), (5,)], 40),
    "inner product": (Does(lambda self, a, b: a @ b), [(5,), (5,)], 10),
    "functional linear": (Does(lambda self, x: F.linear(x, self.layer.weight)), (4, 8), LINEAR),
    "lstm": (nn.LSTM(8, 16, num_layers=2, batch_first=True), (2, 5, 8), 2 * 2 * 5 * 4 * 16 * (8 + 16 + 16 + 16)),
    "gru": (nn.GRU(8, 16, bidirectional=True), (5, 2, 8), 2 * 2 * 2 * 5 * 3 * 16 * (8 + 16)),
    "norms of batch 1": (nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8), nn.GroupNorm(2, 8)), (1, 3, 8, 8), 2 * 36 * 8 * 27),
    "indices": (nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 4)), (2, 5), 2 * 10 * 8 * 4),
    "lazy layer": (nn.LazyLinear(4), (2, 5), 2 * 2 * 5 * 4),
    "parametrization": (nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)), (4, 8), LINEAR),
    "compiled": (torch.compile(nn.Linear(8, 8)), (4, 8), LINEAR),
    "scripted": (torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU())), (4, 8), LINEAR),
    "tensors in a list": (Does(lambda self, x: x @ self.table[0]), (4, 8), LINEAR),
    "a value": (Does(lambda self, x: self.layer(x) * x.mean().item()), (4, 8), LINEAR),
    "a branch by value": (Does(lambda self, x: self.layer(x) if x.sum() > -1e9 else x), (4, 8), LINEAR),
    "a selection by value": (Does(lambda self, x: self.layer(x[x.abs().sum(1) >= 0])), (4, 8), LINEAR),
    "numpy": (Does(lambda self, x: self.layer(torch.from_numpy(x.numpy()))), (4, 8), LINEAR),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("training", [True, False])
def test_a_module_is_counted_as_by_hand_in_either_mode(name, training):
    module, shape, flops = MODULES[name]
    module.train(training)
    assert flops_of_module(module, shape) == flops
    assert module.training is training


@pytest.mark.parametrize("change", [nn.Module.half, nn.Module.bfloat16, nn.Module.double, lambda module: module.to(memory_format=torch.channels_last)])
def test_dtype_and_layout_change_nothing(change):
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.ConvTranspose2d(8, 4, 2, 2))
    wanted = flops_of_module(module, (2, 3, 16, 16))
    assert wanted == 2 * 2 * (196 * 8 * 27 + 196 * 8 * 4 * 4)
    assert flops_of_module(change(module), (2, 3, 16, 16)) == wanted


@pytest.mark.parametrize("needs_values", [False, True])
def test_counting_leaves_module_and_random_numbers_as_they_were(needs_values):
    class Counts(nn.Sequential):
        def forward(self, x):
            self.calls = getattr(self, "calls", 0) + 1
            self[1].running_mean += x.mean().item() if needs_values else 1.0
            return super().forward(x + torch.rand_like(x))

    module = Counts(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout()).train()
    before = {name: (tensor, tensor.clone()) for name, tensor in module.state_dict(keep_vars=True).items()}
    random, fast_path = torch.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    assert flops_of_module(module, (1, 3, 8, 8)) == 2 * 36 * 8 * 27
    after = module.state_dict(keep_vars=True)
    assert all(after[name] is tensor and torch.equal(tensor, value) for name, (tensor, value) in before.items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())
    assert module.training
    assert not hasattr(module, "calls")
    assert torch.equal(random, torch.get_rng_state())
    assert torch.backends.mha.get_fastpath_enabled() == fast_path


@pytest.mark.parametrize(
    ("function", "operator"),
    [
        (lambda self, x: torch.fft.rfft2(x), "_fft_r2c"),
        (lambda self, x: torch.cdist(x, x, p=1), "_cdist_forward"),
        (lambda self, x: torch.linalg.inv(x @ x.mT), "linalg_inv_ex"),
        (
            lambda self, x: torchvision.ops.deform_conv2d(x[None, None], x.new_zeros(1, 18, 8, 8), x.new_zeros(4, 1, 3, 3), padding=1),
            "torchvision::deform_conv2d",
        ),
    ],
)
def test_compute_that_no_rule_knows_is_an_error_and_not_zero(function, operator):
    with pytest.raises(MeasurementError, match=f"no FLOP rule for operators.*{operator}"):
        flops_of_module(Does(function), (8, 8))


@pytest.mark.parametrize(("module", "shape", "said"), [(nn.Linear(8, 8), (4, 9), "4x9 and 8x8"), (nn.Conv2d(3, 8, 3), (1, 2, 9, 9), "to have 3 channels")])
def test_a_shape_that_the_module_refuses_is_an_error_with_its_words(module, shape, said):
    with pytest.raises(MeasurementError, match=said):
        flops_of_module(module, shape)


def test_a_module_that_no_copy_can_be_made_of_is_an_error():
    module = nn.Linear(8, 8)
    module.lines = (line for line in ())
    with pytest.raises(MeasurementError, match="generator"):
        flops_of_module(module, (4, 8))


def test_copies_share_no_memory_and_keep_ties():
    module = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    module[1].weight = module[0].weight
    for copied in (meta_copy(module), cpu_copy(module)):
        assert copied[1].weight is copied[0].weight
        assert not {id(tensor) for tensor in copied.parameters()} & {id(tensor) for tensor in module.parameters()}
    assert cpu_copy(module)[0].weight.data_ptr() != module[0].weight.data_ptr()
    assert meta_copy(module)[0].weight.is_meta


#: Multiply-adds of one 224 px input as published: timm's table of results ("GMACs" in results/benchmark-*.csv), rounded there to 0.01.
GMACS = {
    "resnet18": 1.82, "resnet50": 4.11, "mobilenetv3_small_100": 0.06, "efficientnet_b0": 0.39, "convnext_tiny": 4.47,
    "vit_tiny_patch16_224": 1.26, "deit_small_patch16_224": 4.61, "swin_tiny_patch4_window7_224": 4.51,
}  # fmt: skip


@pytest.mark.parametrize("name", GMACS)
def test_timm_models_have_the_published_count(name):
    with torch.device("meta"):
        network = timm.create_model(name, pretrained=False).eval()
    assert flops_of_module(network, (1, 3, 224, 224)) / 2e9 == pytest.approx(GMACS[name], rel=0.03, abs=0.006)


class Everything(nn.Module):
    """One of each kind of compute."""

    def __init__(self):
        super().__init__()
        self.first, self.grouped, self.up = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=4), nn.ConvTranspose2d(8, 8, 2, 2)
        self.norm, self.attention, self.head = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 4)

    def forward(self, image):
        tokens = self.norm(self.up(self.grouped(self.first(image))).flatten(2).mT)
        tokens = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        mixed = torch.einsum("bnc,bmc->bnm", tokens, tokens) @ tokens
        return torch.baddbmm(mixed, mixed @ mixed.mT, mixed), self.head(mixed[0, 0]), torch.mv(mixed[0], self.norm.weight)


def by_hand():
    first, grouped, up, tokens = 64 * 8 * 27, 36 * 8 * 2 * 9, 36 * 8 * 8 * 4, 144
    attention = 4 * tokens * 64 + 2 * tokens**2 * 8
    return first + grouped + up + attention + 2 * tokens**2 * 8 + 2 * tokens**2 * 8 + 8 * 4 + tokens * 8


def test_three_counters_find_what_the_hand_finds():
    with torch.device("meta"):
        network, image = Everything().eval(), torch.empty(1, 3, 10, 10)
    program = export_network(network, image)
    assert flops_of_module(network, (1, 3, 10, 10)) == 2 * by_hand()
    assert sum(flops_of_program(program).values()) == 2 * by_hand()
    found = fvcore_macs(program)
    # fvcore reads its figure for an einsum from numpy's report, which has four digits.
    assert sum(found.values()) - found["layer_norm"] == pytest.approx(by_hand(), rel=1e-4)


def test_an_outer_product_sums_nothing():
    outer = Does(lambda self, a, b: torch.einsum("i,j->ij", a, b))
    with torch.device("meta"):
        assert sum(flops_of_program(export_network(outer, torch.empty(4), torch.empty(5))).values()) == 0
    assert flops_of_module(outer, [(4,), (5,)]) == 0


def test_fvcore_itself_has_no_rule_for_attention_and_ours_is_put_in():
    assert "aten::scaled_dot_product_attention" not in default_rules()


def test_a_graph_with_unknown_compute_names_the_operator():
    with torch.device("meta"):
        program = export_network(Does(lambda self, x: torch.fft.rfft2(x)), torch.empty(1, 8, 8))
    for count in (flops_of_program, fvcore_macs):
        with pytest.raises(MeasurementError, match=r"no FLOP rule for operator aten\.fft_rfft2"):
            count(program)


def test_a_network_that_depends_on_values_is_refused_by_the_exporter():
    with torch.device("meta"), pytest.raises(MeasurementError, match=r"torch\.export refuses"):
        export_network(Does(lambda self, x: x if x.sum() > 0 else -x), torch.empty(1, 8))


def test_what_the_paper_publishes_is_there_for_all_16():
    assert len(published()) == 16
    clip = published()["remoteclip+upernet"]
    # By hand: 12 layers of 50 tokens and width 768, projections and attention, which the fused kernel hides from fvcore.
    hidden = 12 * (4 * 50 * 768**2 + 2 * 50**2 * 768) / 1e9
    assert clip.gmac == 14.024
    assert clip.counted_encoder_gmac - clip.encoder_gmac == pytest.approx(hidden, rel=0.01)
