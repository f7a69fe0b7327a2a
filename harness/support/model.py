"""The network of a pair `<encoder>+<decoder>`: built by name, saved to and read from a checkpoint folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.core.artifact import WEIGHTS_FILE, Checkpoint, read_checkpoint
from harness.core.errors import CheckpointError, ConfigError
from harness.core.files import sha256_of_file
from harness.core.registry import DECODERS, ENCODERS
from harness.core.specs import Band, DecoderSpec, EncoderSpec
from harness.support.bands import BandPlan, plan_bands


class SegmentationModel(nn.Module):
    """Raw pixels (B, C, H, W) to logits (B, classes, H, W).

    Normalization, (pixel - mean) / std, is part of the network. An input whose sides the encoder can't divide is padded at the
    right and bottom with the mean pixel, and the logits are cropped back: it is never resized. `band_plan` says which of the C bands
    the encoder gets, and which of its bands are zeros.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        divisor: int,
        fixed_size: int | None = None,
        band_plan: BandPlan | None = None,
    ) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.encoder = encoder
        self.decoder = decoder
        self.divisor = divisor
        self.fixed_size = fixed_size
        self.band_plan = band_plan or plan_bands("", [Band(name=str(index)) for index in range(len(mean))], None)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        padded = self._pad(arranged((image - self.mean) / self.std, self.band_plan))
        logits: Tensor = self.decoder(self.encoder(padded), (padded.shape[-2], padded.shape[-1]))
        return logits[..., :height, :width]

    def _pad(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        below, right = self.padded_side(height) - height, self.padded_side(width) - width
        return F.pad(image, (0, right, 0, below)) if below or right else image

    def padded_side(self, side: int) -> int:
        """The side in pixels that the encoder sees for an input of `side` pixels. Raises ConfigError where it is too large."""
        if self.fixed_size is None:
            return -(-side // self.divisor) * self.divisor
        if side > self.fixed_size:
            raise ConfigError(f"the encoder was built for {self.fixed_size} px, got an input of {side} px", "train it again with a larger --input-size")
        return self.fixed_size


def arranged(image: Tensor, plan: BandPlan) -> Tensor:
    """The encoder's bands (B, bands, H, W) of an image (B, C, H, W) as given; those that it lacks are zeros."""
    if plan.is_identity:
        return image
    zeros = torch.zeros_like(image[:, :1])
    return torch.cat([zeros if source is None else image[:, source : source + 1] for source in plan.sources], dim=1)


def split_name(model: str) -> tuple[str, str]:
    """The encoder's and the decoder's name of `<encoder>+<decoder>`. Raises ConfigError."""
    encoder, plus, decoder = model.rpartition("+")
    if not (encoder and plus and decoder):
        raise ConfigError(f"a model is <encoder>+<decoder>, got {model!r}", "harness train unet+unet --data bluemarble_ice")
    return encoder, decoder


def specs_of(model: str) -> tuple[EncoderSpec, DecoderSpec]:
    """The two plug-ins of a model's name. Raises UnknownNameError with near matches."""
    encoder, decoder = split_name(model)
    return ENCODERS.load(encoder), DECODERS.load(decoder)


def input_size_for(spec: EncoderSpec, tile: int, wanted: int | None = None) -> int:
    """The input side in pixels to build an encoder at: its own if it is fixed, else `wanted`, else that of tiles of `tile` px, rounded up.

    Raises ConfigError for a wanted side that the encoder can't take.
    """
    if not spec.flexible and spec.input_size is not None:
        if wanted not in (None, spec.input_size):
            raise ConfigError(f"encoder {spec.name} takes {spec.input_size} px only, got --input-size {wanted}", "leave --input-size out")
        return spec.input_size
    size = wanted or tile
    rounded = -(-size // spec.divisor) * spec.divisor
    if wanted not in (None, rounded):
        raise ConfigError(f"encoder {spec.name} takes multiples of {spec.divisor} px, got --input-size {wanted}", f"--input-size {rounded}")
    return rounded


def build_model(
    model: str,
    *,
    bands: Sequence[Band],
    num_classes: int,
    input_size: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    encoder_options: Mapping[str, Any] | None = None,
    decoder_options: Mapping[str, Any] | None = None,
    fill_missing: bool = False,
) -> SegmentationModel:
    """The network of `model` with fresh weights, for inputs of `bands`; they are matched to the encoder's own (see `support.bands`).

    Raises UnknownNameError, UnavailableError (a package is missing) or ConfigError (a combination that can't work).
    """
    encoder_spec, decoder_spec = specs_of(model)
    options = known_options(encoder_spec, encoder_options or {})
    plan = _planned(encoder_spec, bands, options, fill_missing=fill_missing)
    encoder = encoder_spec.build(plan.bands, input_size, **options)
    decoder = decoder_spec.build(
        encoder.channels, encoder.reductions, num_classes, pyramid=encoder_spec.pyramid, **known_options(decoder_spec, decoder_options or {})
    )
    return SegmentationModel(
        encoder,
        decoder,
        mean=mean or [0.0] * len(bands),
        std=std or [1.0] * len(bands),
        divisor=encoder_spec.divisor,
        fixed_size=None if encoder_spec.input_size is None else input_size,
        band_plan=plan,
    )


def _planned(spec: EncoderSpec, bands: Sequence[Band], options: Mapping[str, Any], *, fill_missing: bool) -> BandPlan:
    """The plan for the encoder's bands; the error where there is none names the values of its options that would fit."""
    try:
        return plan_bands(spec.name, bands, bands_of(spec, options), fill_missing=fill_missing)
    except ConfigError as error:
        fitting = [f"{name}={value}".lower() if isinstance(value, bool) else f"{name}={value}" for name, value in _fitting(spec, bands, options)]
        if not fitting:
            raise
        raise ConfigError(error.message, f"--encoder-option {' or '.join(fitting)}; {error.hint}") from error


def _fitting(spec: EncoderSpec, bands: Sequence[Band], options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Options that take these bands without filling any."""
    for name, value in ((name, value) for name, values in spec.choices.items() for value in values):
        with contextlib.suppress(ConfigError):
            plan_bands(spec.name, bands, bands_of(spec, {**options, name: value}))
            yield name, value


def bands_of(spec: EncoderSpec, options: Mapping[str, Any]) -> tuple[Band, ...] | None:
    """The bands that an encoder takes with these options, None for any."""
    return spec.bands_for(**options) if spec.bands_for else spec.bands


def known_options(spec: EncoderSpec | DecoderSpec, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, all of them known to the plug-in. Raises ConfigError with its options and their defaults."""
    unknown = sorted(options.keys() - spec.options.keys())
    if unknown:
        known = ", ".join(f"{name}={value}" for name, value in spec.options.items()) or "none"
        raise ConfigError(f"{spec.name} has no option {', '.join(unknown)}; it has {known}", "leave the option out")
    for name, value in options.items():
        _require_like(spec.name, name, value, spec.options[name])
    return dict(options)


def _require_like(owner: str, name: str, value: Any, default: Any) -> None:
    """Raises ConfigError for a value of another type than the default's, and for one that counts or measures nothing."""
    is_number = isinstance(default, (int, float)) and not isinstance(default, bool)
    kinds = (int, float) if isinstance(default, float) else type(default)
    if default is not None and (not isinstance(value, kinds) or (is_number and isinstance(value, bool))):
        raise ConfigError(f"option {name} of {owner} is like {default!r}, got {value!r}", f"leave it out, or give it as {name}={default}")
    if is_number and (value < 0 or (value == 0 and isinstance(default, int))):
        raise ConfigError(f"option {name} of {owner} must be positive, got {value!r}", f"leave it out, or give it as {name}={default}")


def model_from_checkpoint(folder: Path) -> SegmentationModel:
    """The trained network in a checkpoint folder, in eval mode on the CPU. Raises CheckpointError naming every tensor that doesn't fit."""
    checkpoint = read_checkpoint(folder)
    network = build_model(
        checkpoint.model,
        bands=checkpoint.bands,
        num_classes=checkpoint.num_classes,
        input_size=checkpoint.input_size,
        mean=checkpoint.preprocessing.mean,
        std=checkpoint.preprocessing.std,
        encoder_options=checkpoint.encoder_options,
        decoder_options=checkpoint.decoder_options,
        fill_missing=bool(checkpoint.zero_filled),
    )
    load_exactly(network, read_tensors(folder / WEIGHTS_FILE, checkpoint), str(folder / WEIGHTS_FILE))
    return network.eval()


def read_tensors(path: Path, checkpoint: Checkpoint | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises CheckpointError for a pickle, a truncated file, or bytes that changed since training."""
    import safetensors
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}", "train it again; pickles (.pth, .pt) are not read here") from error
    if checkpoint is not None and sha256_of_file(path) != checkpoint.weights_sha256:
        raise CheckpointError(f"{path} is not the file that was trained: its sha256 differs from checkpoint.json", "train it again")
    return tensors


def load_exactly(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load tensors into a module; every tensor of both must match by name and shape, else CheckpointError lists all that don't."""
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - tensors.keys())
    extra = sorted(tensors.keys() - wanted.keys())
    misfit = sorted(
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted.keys() & tensors.keys()
        if tensors[key].shape != wanted[key].shape
    )
    problems = [f"{word} {len(keys)}: {', '.join(keys)}" for word, keys in (("missing", missing), ("extra", extra), ("of another shape", misfit)) if keys]
    if problems:
        raise CheckpointError(f"{source} does not fit the model; {'; '.join(problems)}", "check the model's name and options in checkpoint.json")
    module.load_state_dict(dict(tensors))
