"""Floating-point operations of one input, by more than one counter, and whether the counters agree."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.errors import HarnessError, MeasurementError
from harness.core.measurement import Measurement, Missing
from harness.core.ports import Subject
from harness.support.bundled import counted_elsewhere

AGREEMENT = 0.01
#: What counted the network itself.
COUNTERS = {"forward": "torch flop counter", "fvcore": "fvcore, with what it drops put back", "aten": "graph of torch.export"}


class Flops:
    quantities = ("forward_flops", "encoder_flops", "graph_flops")

    def measure(self, subject: Subject) -> Iterable[Measurement | Missing]:
        counters: dict[str, float] = {}
        if subject.artifact.format == "checkpoint":
            from harness.support.flops import flops_of_checkpoint

            counted = flops_of_checkpoint(subject.folder)
        else:
            counted = subject.artifact.flops
        counters |= {title: counted[name] for name, title in COUNTERS.items() if name in counted}
        graph = self._graph(subject)
        if isinstance(graph, Measurement):
            counters["exported graph"] = graph.value
        yield graph
        yield self._forward(counters)
        if "encoder" in counted:
            yield Measurement(quantity="encoder_flops", samples=(float(counted["encoder"]),), detail={"source": "torch flop counter"})
        else:
            yield Missing(quantity="encoder_flops", why="unsupported", reason="the artifact does not say where its encoder ends")

    def _graph(self, subject: Subject) -> Measurement | Missing:
        if subject.artifact.format == "pt2" and subject.artifact.checkpoint.is_foreign:
            return _of_program(subject)
        if subject.artifact.format != "onnx":
            return Missing(quantity="graph_flops", why="unsupported", reason=f"a {subject.artifact.format} has no exported graph")
        try:
            from harness.support.graph_flops import flops_of_onnx
        except ModuleNotFoundError as error:
            counted = counted_elsewhere(subject.folder)
            if counted is not None:
                detail = {"by_operator": counted, "counted": "where the bundle was made"}
                return Measurement(quantity="graph_flops", samples=(float(sum(counted.values())),), detail=detail)
            return Missing(quantity="graph_flops", why="unsupported", reason=f"needs the package {error.name}: pip install 'eo-harness[onnx]'")
        try:
            by_operator = flops_of_onnx(subject.folder / subject.artifact.file, subject.artifact.inputs)
        except HarnessError as error:
            return Missing(quantity="graph_flops", why="failed", reason=error.message)
        first = subject.artifact.inputs[0].shape if subject.artifact.inputs else ()
        batch = first[0] if first and isinstance(first[0], int) else 1  # counted at the batch that the file is fixed to
        by_operator = {name: count // batch for name, count in by_operator.items()}
        return Measurement(quantity="graph_flops", samples=(float(sum(by_operator.values())),), detail={"by_operator": by_operator})

    def _forward(self, counters: dict[str, float]) -> Measurement | Missing:
        if not counters:
            return Missing(quantity="forward_flops", why="unsupported", reason="no counter could read this artifact")
        figure = counters.get("torch flop counter", next(iter(counters.values())))
        if not figure:
            return Missing(quantity="forward_flops", why="unsupported", reason="the model holds no convolution and no matrix product")
        spread = (max(counters.values()) - min(counters.values())) / figure
        detail = {"counters": counters, "spread": spread, "agree": spread <= AGREEMENT if len(counters) > 1 else None}
        return Measurement(quantity="forward_flops", samples=(float(figure),), detail=detail)


def _of_program(subject: Subject) -> Measurement | Missing:
    from harness.support.aten_flops import flops_of_pt2

    try:
        by_operator = flops_of_pt2(subject.folder / subject.artifact.file, subject.artifact.inputs)
    except MeasurementError as error:
        return Missing(quantity="graph_flops", why="failed", reason=error.message)
    return Measurement(quantity="graph_flops", samples=(float(sum(by_operator.values())),), detail={"by_operator": by_operator})


PROBE = Flops()
