"""Which groups of nodes must stay in fp32 so that a lower precision of the rest costs no more than a given mIoU: greedy by measured sensitivity.

The method is partial quantization (H. Wu et al., "Integer Quantization for Deep Learning Inference: Principles and Empirical Evaluation",
2020, arXiv:2004.09602): lower one group at a time, rank the groups by the damage, then keep the worst ones in fp32, one more
per step, until the limit holds. Ours differs in two ways. Damage is the mean Kullback-Leibler divergence of the pixels' class
probabilities from the network's, since the mIoU of one group is mostly rounding noise. And each kept group but the last is then tried in
the lower precision once more, since an early choice may have become needless.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.core.errors import ExportError
from harness.support.onnx_groups import Group

#: The divergence of a graph that gives NaN or infinity; a number, since JSON has no infinity.
WORST = 1e9
METHOD = "greedy by sensitivity, one group at a time (Wu et al. 2020, arXiv:2004.09602), ranked by KL divergence, with a backward pass"


@dataclass(frozen=True)
class Score:
    """What a graph loses: mIoU (a ratio, not points), and nats per pixel from the network's class probabilities."""

    miou_drop: float
    divergence: float


#: The score with the given nodes in fp32 and the rest of the groups in the lower precision.
Measure = Callable[[Collection[str]], Score]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Step:
    """A trial: the group that it "kept" in fp32 or "returned" to the lower precision, and what came of it. The first keeps nothing."""

    action: str
    group: str
    score: Score
    lowered: float


@dataclass(frozen=True)
class Trade:
    """The groups that stay in fp32, how sensitive each group is (none were measured where nothing has to stay), and every step."""

    kept: tuple[Group, ...]
    sensitivity: dict[str, float]
    steps: tuple[Step, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(node for group in self.kept for node in group.nodes)

    def facts(self, groups: Sequence[Group]) -> dict[str, Any]:
        """For the provenance of an artifact: `lowered` is the share of the groups' multiply-adds in the lower precision."""
        total = _flops(groups) or 1
        return {
            "method": METHOD,
            "kept_groups": [group.name for group in self.kept],
            "sensitivity": [
                {"group": group.name, "nodes": len(group.nodes), "macs": group.flops / total, "kl_divergence": self.sensitivity[group.name]}
                for group in groups
                if group.name in self.sensitivity
            ],
            "steps": [{"action": step.action, "group": step.group, "miou_drop": step.score.miou_drop, "lowered_macs": step.lowered} for step in self.steps],
        }


def search(groups: Sequence[Group], measure: Measure, limit: float, progress: Progress) -> Trade:
    """The greedy search; equal scores are taken in the order of the graph, so it gives the same answer each time.

    Raises ExportError where not one group can be lowered within `limit`.
    """
    trials = _Trials(groups, measure, limit, progress)
    if trials.fits("none", "", ()):
        return Trade((), {}, tuple(trials.steps))
    sensitivity = trials.sensitivity()
    ranked = sorted(groups, key=lambda group: -sensitivity[group.name])
    for count in range(1, len(ranked)):
        if trials.fits("kept", ranked[count - 1].name, ranked[:count]):
            return Trade(trials.without_needless(ranked[:count]), sensitivity, tuple(trials.steps))
    least = min(step.score.miou_drop for step in trials.steps)
    raise ExportError(
        f"no part of the graph can be lowered within an mIoU drop of {limit:g} on the val tiles: the best of {len(trials.steps)} mixtures drops {least:.4f}",
        "--precision fp32, a larger --max-miou-drop, or another --calibration-method",
    )


class _Trials:
    """Measures mixtures and remembers them as steps."""

    def __init__(self, groups: Sequence[Group], measure: Measure, limit: float, progress: Progress) -> None:
        self._groups, self._measure, self._limit, self._progress = groups, measure, limit, progress
        self._done = 0
        self.steps: list[Step] = []

    def _scored(self, kept: Sequence[Group], what: str) -> Score:
        self._progress(self._done, max(2 * len(self._groups), self._done + 1), what)
        self._done += 1
        return self._measure([node for group in kept for node in group.nodes])

    def fits(self, action: str, group: str, kept: Sequence[Group]) -> bool:
        score = self._scored(kept, f"{len(kept)} of {len(self._groups)} groups in fp32")
        lowered = 1 - _flops(kept) / (_flops(self._groups) or 1)
        self.steps.append(Step(action, group, score, lowered))
        return score.miou_drop <= self._limit

    def sensitivity(self) -> dict[str, float]:
        """The divergence with each group alone in the lower precision."""
        return {
            group.name: self._scored([other for other in self._groups if other is not group], f"sensitivity of {group.name}").divergence
            for group in self._groups
        }

    def without_needless(self, kept: Sequence[Group]) -> tuple[Group, ...]:
        """`kept`, most sensitive first, without those that the limit can do without; the last one is known to be needed."""
        left = list(kept)
        for group in reversed(kept[:-1]):
            fewer = [other for other in left if other is not group]
            if self.fits("returned", group.name, fewer):
                left = fewer
        return tuple(left)


def _flops(groups: Sequence[Group]) -> int:
    return sum(group.flops for group in groups)


def divergence(logits: np.ndarray, wanted: np.ndarray) -> float:
    """Mean over pixels of KL(wanted || logits) in nats, of the classes' probabilities; both (N, K, H, W). Logits that are no numbers are WORST."""
    if not np.isfinite(logits).all():
        return WORST
    own, target = _log_softmax(logits), _log_softmax(wanted)
    return float((np.exp(target) * (target - own)).sum(axis=1).mean())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
