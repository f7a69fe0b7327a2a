"""Tensors of a weights file, written, and read without running anything that it holds."""

from __future__ import annotations

import argparse
import pickle  # noqa: TID251 - only for the type of torch.load's refusal; nothing is unpickled with it
import re
import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.core.errors import CheckpointError

#: Settings objects that published training scripts save beside the weights: argparse in MAE and DINO, yacs (a dictionary, read as one) in
#: Swin. None of them runs code, and their content is ignored.
STAND_INS = (argparse.Namespace, (OrderedDict, "yacs.config.CfgNode"))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor in the file; nested dictionaries and lists give dotted names.

    Raises CheckpointError for a file that is absent, truncated, holds no tensor, two of one dotted name, or objects that only running code
    could restore.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist", "give the weights file as its authors publish it")
    content = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    tensors = _named(path, content)
    if not tensors:
        raise CheckpointError(f"{path} holds no tensor", "give the weights file as its authors publish it")
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file of copies, as readable as other files; the library's own are for their owner only. Raises OSError."""
    import safetensors
    from safetensors.torch import save_file

    try:
        save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
    except safetensors.SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(0o644)


def _safetensors(path: Path) -> dict[str, Tensor]:
    import safetensors
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}", "download it again") from error


def _pickled(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(list(STAND_INS)):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        hint = "convert it to safetensors where you trust its origin; harness never runs code from a weights file"
        raise CheckpointError(f"{path} holds more than tensors and was not read: {_cause(error)}", hint) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError, struct.error) as error:
        raise CheckpointError(f"{path} is not a whole PyTorch file: {error}", "download it again") from error


def _cause(error: Exception) -> str:
    """What torch refused, without its advice to load the file unsafely."""
    text = " ".join(str(error).split())
    wanted = re.search(r"GLOBAL (\S+)", text)
    if wanted:
        return f"it asks for {wanted[1]}"
    found = re.search(r"WeightsUnpickler error: (.*?) Check the documentation", text)
    return found[1] if found else "torch refused it"


def _named(path: Path, content: Any) -> dict[str, Tensor]:
    """All tensors by dotted name. Raises CheckpointError where one would be lost, and for containers without an end."""
    try:
        pairs = list(_flat(content, ""))
    except RecursionError as error:
        raise CheckpointError(f"{path} holds a container within itself, or too many within each other", "use the file as its authors publish it") from error
    twice = sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    if twice:
        raise CheckpointError(f"{path} names the same tensor twice: {', '.join(twice)}", "use the file as its authors publish it")
    return dict(pairs)


def _flat(content: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield prefix, content
    pairs = content.items() if isinstance(content, Mapping) else enumerate(content) if isinstance(content, (list, tuple)) else ()
    for key, value in pairs:
        yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
