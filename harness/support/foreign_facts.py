"""What can be known of a model's file without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from harness.core.specs import TensorSpec


class FileFacts(NamedTuple):
    """`files`: what lies beside the model and belongs to it. A side that is not fixed is its name."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    parameters: int = 0
    precision: str = "fp32"
    files: tuple[Path, ...] = ()
    facts: dict[str, Any] = {}
