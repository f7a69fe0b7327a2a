"""Multiply-adds of a named model by three counters, on the meta device: no weights, no data, no compute."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.core.errors import MeasurementError
from harness.core.registry import ENCODERS, missing_package
from harness.core.specs import names_of
from harness.support.aten_flops import export_network, flops_of_program
from harness.support.cryo_bench import Published, published
from harness.support.fvcore_flops import fvcore_macs
from harness.support.model import build_model, input_size_for, specs_of
from harness.support.module_flops import flops_of_module
from harness.support.named_bands import default_bands
from harness.support.windows import count_windows

#: Counters that differ by more than this share of the flop counter's total don't agree.
AGREEMENT = 0.01
FLOP_COUNTER, FVCORE, GRAPH = "flop_counter", "fvcore", "exported_graph"
CLASSES = 2


@dataclass(frozen=True)
class ModelCount:
    """Parameters and multiply-adds (MAC) of one model.

    `encoder_macs` and `macs` are PyTorch's flop counter's, of one input (1, bands, size, size). A tile of `tile` px takes `windows`
    inputs. `counters`: total by counter, None for one that could not count; `missing` has its reason. fvcore's total has norms,
    pooling and resizing too. `published`: Cryo-Bench's own figures, where this is one of its models at its size and bands.
    """

    model: str
    bands: tuple[str, ...]
    size: int
    tile: int
    windows: int
    encoder_params: int
    params: int
    encoder_macs: int
    macs: int
    counters: dict[str, int | None]
    missing: dict[str, str]
    published: Published | None

    @property
    def tile_macs(self) -> int:
        return self.macs * self.windows

    @property
    def spread(self) -> float:
        """The largest difference between two counters, as a share of the flop counter's total."""
        known = [macs for macs in self.counters.values() if macs is not None]
        return (max(known) - min(known)) / self.macs if self.macs else 0.0

    @property
    def agree(self) -> bool | None:
        """Whether the three counters differ by 1 % at most; None where those that could count do, but not all could."""
        if self.spread > AGREEMENT:
            return False
        return None if self.missing else True


def pair_of(name: str) -> str:
    """The model that a name means: of an encoder alone its pair in Cryo-Bench. Raises UnknownNameError or ConfigError for neither."""
    if "+" in name:
        specs_of(name)
        return name
    ENCODERS.load(name)
    return f"{name}+{'unet' if name == 'unet' else 'upernet'}"


def count_model(model: str, *, tile: int = 512) -> ModelCount:
    """Count `<encoder>+<decoder>` with the encoder's own bands at its own input size (the tile's where it has none), for two classes.

    Raises UnknownNameError, UnavailableError or ConfigError where the model can't be built, MeasurementError where it can't be counted.
    """
    spec, _ = specs_of(model)
    bands = default_bands(spec, {})
    size = spec.input_size or input_size_for(spec, tile)
    with torch.device("meta"):
        network = build_model(model, bands=bands, num_classes=CLASSES, input_size=size).eval().requires_grad_(False)
        image = torch.empty(1, len(bands), size, size)
    macs = flops_of_module(network, image.shape) // 2
    counters, missing = _by_graph(network, image)
    return ModelCount(
        model=model,
        bands=names_of(bands),
        size=size,
        tile=tile,
        windows=count_windows(tile, tile, size),
        encoder_params=_parameters(network.encoder),
        params=_parameters(network),
        encoder_macs=flops_of_module(network.encoder, image.shape) // 2,
        macs=macs,
        counters={FLOP_COUNTER: macs, **counters},
        missing=missing,
        published=_published(model, size, len(bands)),
    )


def _by_graph(network: nn.Module, image: Tensor) -> tuple[dict[str, int | None], dict[str, str]]:
    """What the two counters that read the exported graph find, and why one of them finds nothing."""
    counters: dict[str, int | None] = {FVCORE: None, GRAPH: None}
    missing: dict[str, str] = {}
    try:
        program = export_network(network, image)
    except MeasurementError as error:
        return counters, dict.fromkeys(counters, error.message)
    try:
        counters[GRAPH] = sum(flops_of_program(program).values()) // 2
    except MeasurementError as error:
        missing[GRAPH] = error.message
    try:
        counters[FVCORE] = sum(fvcore_macs(program).values())
    except MeasurementError as error:
        missing[FVCORE] = error.message
    except ModuleNotFoundError as error:
        missing[FVCORE] = str(missing_package("this counter", error))
    return counters, missing


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _published(model: str, size: int, bands: int) -> Published | None:
    found = published().get(model)
    return found if found and (found.size, found.bands) == (size, bands) else None
