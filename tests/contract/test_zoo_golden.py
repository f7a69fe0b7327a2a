"""Every encoder of Cryo-Bench computes the reference's features, with its parameters and its multiply-adds."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from harness.core.registry import ENCODERS
from harness.support.weights import Weights
from tests.zoo_reference import CASES, COMPUTED, Case, facts, filled_tensors, golden_input

TOLERANCE = 1e-4
HERE = [case for case in CASES if case.encoder in ENCODERS.names()]
GOLDEN = [pytest.param(case, marks=[pytest.mark.slow] * case.slow) for case in HERE if case.reference in facts("golden_features")]


def worst_error(found: Tensor, wanted: dict) -> float:
    """The largest difference of any recorded statistic, relative to the map's largest absolute value."""
    flat = found.double().flatten()
    pairs = [(flat[index], value) for index, value in enumerate(wanted["first8"])]
    pairs += [(flat[int(index)], value) for index, value in wanted["probe"].items()]
    pairs += [(flat.mean(), wanted["mean"]), (flat.std(correction=0), wanted["std"]), (flat.abs().max(), wanted["absmax"])]
    return max(abs(float(one) - other) for one, other in pairs) / wanted["absmax"]


def fill(case: Case, module: nn.Module) -> None:
    """Load the reference's tensors through the encoder's own loader; by name where it has none."""
    tensors = filled_tensors(case.reference, unused=case.unused)
    if case.spec.load_weights is not None:
        case.spec.load_weights(module, Weights(case.reference, tensors))
        return
    for pattern, replacement in case.renamed:
        tensors = {re.sub(pattern, replacement, name): tensor for name, tensor in tensors.items()}
    unfilled = module.load_state_dict(tensors, strict=False).missing_keys
    assert {name.rpartition(".")[2] for name in unfilled} <= {"num_batches_tracked", *COMPUTED}


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.reference)
def test_features_are_the_references(case: Case) -> None:
    module = case.build()
    fill(case, module)
    with torch.no_grad():
        maps = module(golden_input(case.reference))
    maps = maps[::-1] if case.reverse else maps
    wanted = facts("golden_features")[case.reference]["maps"]
    assert [list(found.shape) for found in maps] == [one["shape"] for one in wanted]
    assert max(worst_error(found, one) for found, one in zip(maps, wanted, strict=True)) <= TOLERANCE


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.reference)
def test_parameters_are_the_references_but_for_named_differences(case: Case) -> None:
    with torch.device("meta"):
        module = case.build()
    found = sum(parameter.numel() for parameter in module.parameters())
    assert found - facts("encoders")[case.reference]["params_encoder"] == sum(case.differences.values())


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.reference)
def test_multiply_adds_are_the_references_but_for_the_work_saved(case: Case) -> None:
    with torch.device("meta"):
        module, image = case.build(), torch.empty(1, len(case.inputs), case.size, case.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        maps = module(image)
    wanted = facts("encoders")[case.reference]["flops_encoder"] - case.saved_flops
    assert counter.get_total_flops() == pytest.approx(wanted, rel=1e-3)
    sides = [(case.size // reduction, case.size // reduction) for reduction in module.reductions]
    assert [tuple(found.shape[1:]) for found in maps] == [(width, *side) for width, side in zip(module.channels, sides, strict=True)]


def test_croma_saves_half_of_the_reference() -> None:
    (case,) = (case for case in CASES if case.reference == "CROMA")
    assert case.saved_flops / facts("encoders")["CROMA"]["flops_encoder"] == pytest.approx(0.49875, abs=1e-4)


def test_every_model_of_the_paper_is_here() -> None:
    wanted = {name.partition("@")[0] for name in facts("encoders")}
    assert {case.reference.partition("@")[0] for case in HERE} == wanted
