"""A made-up busy machine: call durations with the noise that real ones have, from a seed, and arms that run on its clock."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.support.clock import ManualClock


@dataclass
class BusyMachine:
    """Durations are skewed (log-normal and bursts), autocorrelated (a slow AR(1) of the machine's speed) and drifting (a swing over minutes).

    `spread`: standard deviation of a call's log; `wander`: that of the slow part; `burst`: chance that a call is held up; `drift`: height of
    the swing's log. All arms share the slow part, as they share a machine.
    """

    seed: int
    spread: float = 0.05
    wander: float = 0.10
    memory: float = 0.999
    burst: float = 0.10
    drift: float = 0.10
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._speed = self._random.gauss(0, self.wander)

    def arm(self, seconds: float) -> Callable[[], None]:
        """A call that takes about `seconds` of the machine's clock."""

        def call() -> None:
            self.clock.advance(seconds * math.exp(self._noise()))

        return call

    def _noise(self) -> float:
        draw = self._random
        self._speed = self.memory * self._speed + math.sqrt(1 - self.memory**2) * draw.gauss(0, self.wander)
        held_up = draw.expovariate(1 / 0.6) if draw.random() < self.burst else 0.0
        return self._speed + abs(draw.gauss(0, self.spread)) + held_up + self.drift * math.sin(self.clock() / 100)
