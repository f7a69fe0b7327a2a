"""Trained models of PANGAEA and Cryo-Bench: what `torch.save` wrote there, loaded into our network of the same pair.

Such a file is {"model": tensors, "optimizer", "lr_scheduler", "scaler", "epoch"}; the encoder's tensors are under `encoder.`, the others
are the decoder's. Every tensor is used, folded exactly, or dropped for a stated reason; anything else is an error that lists it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.core.errors import CheckpointError
from harness.core.specs import EncoderSpec
from harness.support import pangaea_decoders, pangaea_encoders
from harness.support.model import SegmentationModel, specs_of, split_name
from harness.support.weights import Weights, misfits, read_weights

#: What a loader may change of an encoder's tensors so that the network still computes the same.
EXACT = ("q, k and v joined",)
STATE = "state of the training"
#: Under what training programs put a network's tensors, in any nesting.
WRAPPERS = ("model", "state_dict", "module")


@dataclass(frozen=True)
class Training:
    """The tensors of one checkpoint: of the encoder and of the decoder without their prefixes, and what is neither, by reason."""

    source: str
    encoder: Mapping[str, Tensor]
    decoder: Mapping[str, Tensor]
    dropped: Mapping[str, tuple[str, ...]]

    def classes(self, decoder: str) -> int | None:
        """How many classes it tells apart; None where the file doesn't hold this decoder."""
        classifier = self.decoder.get(pangaea_decoders.CLASSIFIERS.get(decoder, ""))
        return None if classifier is None else int(classifier.shape[0])

    def decoder_options(self, decoder: str) -> dict[str, Any]:
        """The options of our decoder that differ from Cryo-Bench's."""
        fuse = self.decoder.get(pangaea_decoders.WIDTH)
        if decoder != "upernet" or fuse is None or fuse.shape[0] == pangaea_decoders.USUAL_WIDTH:
            return {}
        return {"width": int(fuse.shape[0])}


def read_training(path: Path) -> Training:
    """The tensors of a .pth, .pt or .safetensors file, with or without the wrappers. Raises CheckpointError; no code in a file is run."""
    weights = _unwrapped(read_weights(path))
    encoder = {name.removeprefix("encoder."): tensor for name, tensor in weights.tensors.items() if name.startswith("encoder.")}
    decoder = {name: tensor for name, tensor in weights.tensors.items() if not name.startswith("encoder.")}
    if not encoder or not decoder:
        held, other = ("decoder", "encoder") if decoder else ("encoder", "decoder")
        example = next(iter(weights.tensors))
        message = f"{path} holds no {other}, only {len(weights.tensors)} tensors of a {held} ({example}, ...); the encoder's are named encoder.*"
        raise CheckpointError(message, "give the checkpoint of a whole training; `harness train --weights` takes an encoder's")
    return Training(str(path), encoder, decoder, weights.dropped)


def _unwrapped(weights: Weights) -> Weights:
    """The tensors under all wrappers; of those beside them only the first part of the name is kept, with their number."""
    wrapper = next((name for name in WRAPPERS if any(tensor.startswith(f"{name}.") for tensor in weights.tensors)), None)
    if wrapper is None or any(name.startswith("encoder.") for name in weights.tensors):
        return weights
    outside = [name.partition(".")[0] for name in weights.tensors if not name.startswith(f"{wrapper}.")]
    counted = tuple(f"{part} ({outside.count(part)} tensors)" for part in dict.fromkeys(outside))
    dropped = {**weights.dropped, STATE: (*weights.dropped.get(STATE, ()), *counted)} if counted else weights.dropped
    return _unwrapped(replace(weights.inside(wrapper), dropped=dropped))


def require_model(model: str, training: Training) -> None:
    """Raises CheckpointError where names and shapes tell that the file holds another pair; the next command names that pair."""
    encoder, decoder = split_name(model)
    encoders = pangaea_encoders.recognized(training.encoder) if encoder in pangaea_encoders.KNOWN else ()
    decoders = [name for name in pangaea_decoders.NAMES if training.classes(name) is not None]
    other = encoder if encoder in encoders or not encoders else encoders[0]
    pair = f"{other}+{decoder if decoder in decoders or not decoders else decoders[0]}"
    if pair == model:
        return
    tensors = ", ".join([*(f"encoder.{name}" for name in list(training.encoder)[-2:]), *list(training.decoder)[-2:]])
    hint = f"harness import {training.source} --from pangaea --model {pair}"
    raise CheckpointError(f"{training.source} does not hold {model}: its tensors are those of {pair} ({tensors}, ...)", hint)


def load_training(network: SegmentationModel, model: str, training: Training) -> dict[str, Any]:
    """Load into our network of the pair `model`, and report {"used": n, "folded": {tensor: into}, "dropped": {reason: [tensors]}}.

    Raises CheckpointError that lists every tensor that is missing, extra or of another shape.
    """
    encoder_spec, _ = specs_of(model)
    encoder, encoder_problem = _tried(lambda: _load_encoder(network.encoder, encoder_spec, training))
    decoder, decoder_problem = _tried(lambda: _load_named(network.decoder, training.decoder, pangaea_decoders.NAMES[split_name(model)[1]]))
    problems = [f"{part}: {problem}" for part, problem in (("encoder", encoder_problem), ("decoder", decoder_problem)) if problem]
    if problems:
        hint = "give the --bands, --input-size and options of that training; `harness list encoders` shows them"
        raise CheckpointError(f"{training.source} does not fit {model}; {'; '.join(problems)}", hint)
    dropped = {reason: list(names) for reason, names in {**training.dropped, **encoder["dropped"]}.items()}
    return {"used": encoder["used"] + decoder["used"], "folded": {**encoder["folded"], **decoder["folded"]}, "dropped": dropped}


def _tried(load: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """What `load` reports, and what doesn't fit."""
    try:
        return load(), ""
    except CheckpointError as error:
        return {}, error.message.partition("; ")[2] or error.message


def _load_encoder(encoder: nn.Module, spec: EncoderSpec, training: Training) -> dict[str, Any]:
    """Load through the encoder's own loader, but nothing may be missing, interpolated or otherwise changed in what it computes."""
    if spec.load_weights is None:
        return _load_named(encoder, training.encoder, pangaea_encoders.NAMES.get(spec.name, ()))
    load: Callable[[nn.Module, Weights], Mapping[str, Any]] = spec.load_weights  # type: ignore[assignment]
    report = load(encoder, Weights(training.source, training.encoder))
    parameters = dict(encoder.named_parameters())
    missing = sorted(name for names in report["kept"].values() for name in names if name in parameters)
    changed = [f"{name} ({how})" for name, how in report["adapted"].items() if how not in EXACT]
    _require_none({"missing": missing, "of another shape": changed})
    folded = {name.replace(".qkv.", f".{letter}."): f"joined to {name}" for name in report["adapted"] for letter in "qkv"}
    return {
        "used": report["used"] - len(report["adapted"]),
        "folded": {f"encoder.{name}": into for name, into in folded.items()},
        "dropped": {reason: [f"encoder.{name}" if name in training.encoder else name for name in names] for reason, names in report["dropped"].items()},
    }


def _require_none(problems: Mapping[str, Sequence[str]]) -> None:
    found = [f"{word} {len(names)}: {', '.join(names)}" for word, names in problems.items() if names]
    if found:
        raise CheckpointError("; ".join(["does not fit", *found]))


def _load_named(module: nn.Module, tensors: Mapping[str, Tensor], rules: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Load tensors under their names; what does not fit is listed by those names."""
    own, biases = module.state_dict(), pangaea_decoders.biases_of(module)
    wanted = own | {bias: own[mean] for bias, mean in biases.items()}
    names = {pangaea_decoders.theirs(name, rules): name for name in wanted}
    problems = misfits({given: wanted[name] for given, name in names.items()}, tensors)
    if problems:
        raise CheckpointError("; ".join(["does not fit", *problems]))
    module.load_state_dict(pangaea_decoders.folded({name: tensors[given] for given, name in names.items()}, biases))
    into = {pangaea_decoders.theirs(bias, rules): f"subtracted from {pangaea_decoders.theirs(mean, rules)}" for bias, mean in biases.items()}
    return {"used": len(names) - len(biases), "folded": into, "dropped": {}}
