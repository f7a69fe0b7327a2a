"""Official weights on their way into a module, with an account of every tensor: used, dropped for a reason, adapted, or an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.core.errors import CheckpointError
from harness.support.weights_file import read_tensors


@dataclass(frozen=True)
class Weights:
    """The tensors of one file by name, and what became of those that are not among them any more.

    Each method gives a new value: `read_weights(path).inside("model").without(r"head\\..*", "classifier").loaded_into(module)`.
    Patterns are regular expressions that must match the whole name.
    """

    source: str
    tensors: Mapping[str, Tensor]
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    adapted: Mapping[str, str] = field(default_factory=dict)

    def inside(self, prefix: str) -> Weights:
        """Only the tensors named `<prefix>.<name>`, called `<name>`; the others are dropped. Unchanged when there is none."""
        prefix = f"{prefix}."
        if not any(name.startswith(prefix) for name in self.tensors):
            return self
        others = self.without(rf"(?!{re.escape(prefix)}).*", f"not under {prefix!r}")
        return others.renamed(re.escape(prefix), "")

    def without(self, pattern: str, reason: str) -> Weights:
        """Without the tensors whose name matches; they are reported as dropped for `reason`."""
        gone = tuple(sorted(name for name in self.tensors if re.fullmatch(pattern, name, re.DOTALL)))
        if not gone:
            return self
        rest = {name: tensor for name, tensor in self.tensors.items() if name not in set(gone)}
        return replace(self, tensors=rest, dropped={**self.dropped, reason: (*self.dropped.get(reason, ()), *gone)})

    def renamed(self, pattern: str, replacement: str | Callable[[re.Match[str]], str]) -> Weights:
        """With the start of each name that matches `pattern` replaced. Raises CheckpointError when two names become one."""
        names = {name: re.sub(rf"\A(?:{pattern})", replacement, name, count=1) for name in self.tensors}
        if len(set(names.values())) < len(names):
            twice = sorted(new for new in set(names.values()) if list(names.values()).count(new) > 1)
            raise CheckpointError(f"{self.source} names the same tensor twice: {', '.join(twice)}", "use the file as its authors publish it")
        return replace(self, tensors={names[name]: tensor for name, tensor in self.tensors.items()})

    def adapting(self, name: str, how: str, function: Callable[[Tensor], Tensor]) -> Weights:
        """With `function` applied to the tensor `name`; unchanged when it isn't there."""
        if name not in self.tensors:
            return self
        return replace(self, tensors={**self.tensors, name: function(self.tensors[name])}, adapted={**self.adapted, name: how})

    def with_shape(self, name: str, shape: Iterable[int], how: str, function: Callable[[Tensor], Tensor]) -> Weights:
        """`adapting` where the tensor `name` has another shape than the module wants; unchanged where it fits."""
        if name not in self.tensors or tuple(self.tensors[name].shape) == tuple(shape):
            return self
        return self.adapting(name, f"{how}, {tuple(self.tensors[name].shape)} to {tuple(shape)}", function)

    def loaded_into(self, module: nn.Module, *, kept: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Load into `module` and report {"used": n, "dropped": {reason: [names]}, "adapted": {name: how}, "kept": {reason: [names]}}.

        `kept` maps a pattern of module tensors that may be absent from the file, and then keep their initial values, to the reason.
        Raises CheckpointError listing every other tensor that is missing, extra or of another shape; the module is then unchanged.
        """
        wanted = module.state_dict()
        untouched = {name: reason for name in wanted.keys() - self.tensors.keys() for pattern, reason in (kept or {}).items() if re.fullmatch(pattern, name)}
        problems = misfits({name: tensor for name, tensor in wanted.items() if name not in untouched}, self.tensors)
        if problems:
            raise CheckpointError(f"{self.source} does not fit the encoder; {'; '.join(problems)}", "check that the file is of this encoder and variant")
        module.load_state_dict(dict(self.tensors), strict=False)
        reasons = {reason: sorted(name for name, why in untouched.items() if why == reason) for reason in sorted(set(untouched.values()))}
        dropped = {reason: list(names) for reason, names in self.dropped.items()}
        return {"used": len(self.tensors), "dropped": dropped, "adapted": dict(self.adapted), "kept": reasons}


def read_weights(source: Path | Weights) -> Weights:
    """All tensors of a .safetensors, .pth or .pt file; nested dictionaries give dotted names. Raises CheckpointError.

    Weights pass unchanged: who already holds the tensors (of another project's training, say) gives them to the same loaders.
    """
    return source if isinstance(source, Weights) else Weights(str(source), read_tensors(source))


def misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """What keeps `given` from being `wanted`: one line each for the missing, the extra and the misshaped names; empty when they fit."""
    shared = sorted(wanted.keys() & given.keys())
    other = [f"{name} {tuple(given[name].shape)} instead of {tuple(wanted[name].shape)}" for name in shared if given[name].shape != wanted[name].shape]
    found = {"missing": sorted(wanted.keys() - given.keys()), "extra": sorted(given.keys() - wanted.keys()), "of another shape": other}
    return [f"{word} {len(names)}: {', '.join(names)}" for word, names in found.items() if names]
