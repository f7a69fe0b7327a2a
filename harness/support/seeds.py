"""Randomness that depends on named numbers only, so that a run can be repeated and a stopped one goes on as if it had not stopped."""

from __future__ import annotations

import random

import numpy as np
import torch


def generator_for(*numbers: int) -> np.random.Generator:
    """A generator whose draws follow from the numbers alone, for example (seed, epoch, tile)."""
    return np.random.default_rng(numbers)


def seed_all(*numbers: int) -> None:
    """Seed Python's, NumPy's and PyTorch's own generators; initial weights and dropout draw from these."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
