"""Models and their compute from Python: the functions that stay the same from release to release; see docs/api.md.

In scope: building, loading and counting one model. Out of scope: training, export, measurement and tables, which are the verbs of
`harness`. Importing this module loads no ML framework; calling its functions does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.specs import Band

if TYPE_CHECKING:
    from torch import nn

    from harness.support.module_flops import InputShape

#: Side in pixels that an encoder without a size of its own is built at; it takes any other size too.
FLEXIBLE_SIZE = 224


def build_model(
    model: str,
    num_classes: int = 2,
    bands: Sequence[str | Band] | None = None,
    input_size: int | None = None,
    *,
    encoder_options: Mapping[str, Any] | None = None,
    decoder_options: Mapping[str, Any] | None = None,
    fill_missing: bool = False,
) -> nn.Module:
    """The network `<encoder>+<decoder>` with fresh weights, in eval mode, on the current default device.

    It takes a float tensor (B, C, H, W) of `bands` in this order, or a dict of one tensor per sensor ("optical", "sar"), and gives logits
    (B, num_classes, H, W). Nothing is normalized. `.encoder` takes the same input, its sides multiples of the patch, and gives the list
    of feature maps; `.decoder` takes that list and the (H, W) of the logits.

    `bands`: names ("B4", "VV") or Band values; None: the encoder's own, red, green, blue where it takes any. They are matched to the
    encoder's by name, else by wavelength; `fill_missing` gives it zeros for those that are missing. `input_size`: side in pixels to
    build for; None: the encoder's own. Options: see `harness list encoders NAME` and `harness list decoders NAME`.

    Raises UnknownNameError, ConfigError for a combination that can't work (bands that the encoder can't take), UnavailableError for a
    package that is missing, all of `harness.core.errors`.
    """
    from harness.support import model as support
    from harness.support.named_bands import default_bands, named_bands
    from harness.support.sensor_inputs import with_sensor_inputs

    spec, _ = support.specs_of(model)
    chosen = default_bands(spec, encoder_options or {}) if bands is None else named_bands(bands)
    network = support.build_model(
        model,
        bands=chosen,
        num_classes=num_classes,
        input_size=support.input_size_for(spec, spec.input_size or FLEXIBLE_SIZE, input_size),
        encoder_options=encoder_options,
        decoder_options=decoder_options,
        fill_missing=fill_missing,
    )
    return with_sensor_inputs(network, chosen).eval()


def load_checkpoint(path: str | Path) -> nn.Module:
    """The trained network of a checkpoint folder that `harness train` wrote, in eval mode on the CPU, as `build_model` gives it.

    It takes raw pixels: the checkpoint's normalization is part of it (its `.encoder` takes normalized ones). Raises CheckpointError
    naming the file and what is wrong.
    """
    from harness.core.artifact import read_checkpoint
    from harness.support.model import model_from_checkpoint
    from harness.support.sensor_inputs import with_sensor_inputs

    folder = Path(path)
    return with_sensor_inputs(model_from_checkpoint(folder), read_checkpoint(folder).bands)


def count_flops(module: nn.Module, input_shape: InputShape) -> int:
    """Floating-point operations of one forward pass in eval mode, 2 per multiply-add, of any `torch.nn.Module`.

    Convolutions and matrix products are counted, attention included; element-wise work, norms, pooling and resizing are not.
    `input_shape` has the batch: (1, 3, 224, 224); a list of shapes for several inputs; a dict of shapes for inputs by name. Weights are
    neither read nor copied and the module is left as it is; where its forward needs values, a copy is run on the CPU. Raises
    MeasurementError for a shape that the module refuses, and for an operator that may be compute but has no rule.
    """
    from harness.support.module_flops import flops_of_module

    return flops_of_module(module, input_shape)


def import_checkpoint(
    path: str | Path,
    model: str = "dofa+upernet",
    source: str = "pangaea",
    num_classes: int = 2,
    bands: Sequence[str | Band] | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_size: int | None = None,
    encoder_options: Mapping[str, Any] | None = None,
    fill_missing: bool = False,
) -> nn.Module:
    """The network of a checkpoint that PANGAEA or Cryo-Bench trained, in eval mode on the CPU, as `build_model` gives it; see docs/import.md.

    Its logits are those of the network that was trained. `mean` and `std`, one value per band, become part of it; without them it takes
    normalized pixels. The options of `build_model` are those of that training; what the file's tensors tell is found by itself. Pickled
    code is not run. Raises CheckpointError naming every tensor that is missing, extra or of another shape, or another number of classes.
    """
    from harness.support.imports import Facts, imported
    from harness.support.sensor_inputs import with_sensor_inputs

    options = dict(encoder_options or {})
    facts = Facts(model, num_classes, bands, input_size, mean, std, options, fill_missing=fill_missing)
    found = imported(Path(path), facts, source=source)
    return with_sensor_inputs(found.network, found.bands)
