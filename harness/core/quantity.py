"""The quantities we know: unit, which way is better, exact definition."""

from __future__ import annotations

from typing import Literal, NamedTuple

from harness.core.errors import UnknownNameError


class Quantity(NamedTuple):
    """One thing that can be measured. `unit` is a base unit: s, B, FLOP, px/s, J, ratio, count."""

    name: str
    unit: str
    better: Literal["lower", "higher", "neither"]
    definition: str


_ALL = (
    Quantity("latency", "s", "lower", "wall time of one synchronous call with inputs bound: run, then wait for the device; batch as in the profile"),
    Quantity("end_to_end_latency", "s", "lower", "wall time to bind one batch of raw pixels, run, wait, and fetch the logits"),
    Quantity("device_latency", "s", "lower", "time of one pass between two events in the device's own queue; the launch and copies are not in it"),
    Quantity(
        "throughput",
        "px/s",
        "higher",
        "pixels of tiles that a call is good for over the median latency, one synchronous caller; no padding, and what windows share counts once",
    ),
    Quantity(
        "area_throughput",
        "km2/s",
        "higher",
        "ground that a call is good for (pixels as in throughput times the data set's ground sampling distance squared) over the median latency",
    ),
    Quantity(
        "pipelined_throughput",
        "px/s",
        "higher",
        "pixels per second of 8 calls launched in a row with one wait at the end, on a device with a queue; not the inverse of the latency",
    ),
    Quantity("tile_latency", "s", "lower", "wall time from the file of one tile to its map of classes: read, normalize, copy, run, stitch windows, argmax"),
    Quantity("load_time", "s", "lower", "wall time to open the artifact in the runtime, in a fresh process, the runtime's import apart"),
    Quantity("first_call", "s", "lower", "wall time of the first call after loading"),
    Quantity(
        "import_memory",
        "B",
        "lower",
        "memory that the process holds after importing the runtime, before loading the artifact (the runtime's own base; no pages of program files)",
    ),
    Quantity("load_memory", "B", "lower", "peak memory that the process holds while the artifact is loaded (no pages of program files)"),
    Quantity(
        "peak_host_memory",
        "B",
        "lower",
        "peak memory that the process holds while the artifact runs: resident, less library_memory; runtime, weights, activations and all else",
    ),
    Quantity("weight_memory", "B", "lower", "memory that loading the artifact added to the process and that stays: weights, graph and the runtime's tables"),
    Quantity(
        "activation_memory",
        "B",
        "lower",
        "peak_host_memory less what the process held after loading: one batch, activations, workspaces, and what the first call set up and kept",
    ),
    Quantity(
        "library_memory",
        "B",
        "lower",
        "pages of program files (the runtime's libraries) that were resident while the artifact ran; processes share them, and the kernel can drop them",
    ),
    Quantity("peak_device_memory", "B", "lower", "peak device memory while the artifact runs, source named in detail"),
    Quantity(
        "forward_flops",
        "FLOP",
        "lower",
        "floating-point operations of convolutions and matrix products (attention included) for one input of batch 1; 2 per multiply-add",
    ),
    Quantity("encoder_flops", "FLOP", "lower", "forward_flops of the encoder alone"),
    Quantity("graph_flops", "FLOP", "lower", "forward_flops counted by us on the exported graph, before the runtime optimizes it"),
    Quantity("parameters", "count", "lower", "trainable and frozen parameters of encoder and decoder"),
    Quantity("artifact_size", "B", "lower", "bytes on disk of the runnable file with its external data"),
    Quantity(
        "miou",
        "ratio",
        "higher",
        "intersection over union per class from one confusion matrix over the split, averaged over the classes in truth or prediction; ignore_index excluded",
    ),
    Quantity("miou_per_image", "ratio", "higher", "mIoU of each image over the classes present in it, averaged over images"),
    Quantity("pixel_accuracy", "ratio", "higher", "share of labeled pixels whose class is right, over the whole split"),
    Quantity("macro_f1", "ratio", "higher", "F1 per class from the whole split's confusion matrix, averaged over the classes present"),
    Quantity(
        "boundary_iou",
        "ratio",
        "higher",
        "IoU per class of the pixels within 2 % of the diagonal of a class's edge, from counts over the split, averaged over classes",
    ),
    Quantity(
        "calibration_error",
        "ratio",
        "lower",
        "expected calibration error (ECE): mean gap of confidence and accuracy in 15 equal bins of the top softmax score, over labeled pixels",
    ),
    Quantity("miou_drop", "ratio", "lower", "mIoU of the checkpoint on torch_eager in fp32 minus the mIoU of this artifact, same tiles"),
    Quantity("argmax_agreement", "ratio", "higher", "share of pixels whose predicted class equals that of the checkpoint on torch_eager in fp32"),
    Quantity("max_abs_error", "logit", "lower", "largest absolute difference of a logit from the checkpoint on torch_eager in fp32"),
    Quantity("mean_abs_error", "logit", "lower", "mean absolute difference of a logit from the checkpoint on torch_eager in fp32"),
    Quantity("p99_abs_error", "logit", "lower", "what 99 % of the logits don't differ more than from the checkpoint on torch_eager in fp32, within 1 %"),
    Quantity("energy", "J", "lower", "energy of one call, from a hardware counter"),
    Quantity("achieved_flops", "FLOP/s", "higher", "forward_flops of the batch over the median latency, taken in turns with the machine's own peak"),
    Quantity(
        "peak_share",
        "ratio",
        "higher",
        "achieved_flops over the best matrix product of this machine with the same threads, in the artifact's precision or fp32, taken in turns",
    ),
    Quantity("arithmetic_intensity", "FLOP/B", "neither", "forward_flops over the bytes of weights, input and output that one call must move at least"),
)

QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _ALL}


def quantity(name: str) -> Quantity:
    """The quantity called `name`. Raises UnknownNameError with near matches."""
    if name not in QUANTITIES:
        raise UnknownNameError("quantity", name, QUANTITIES)
    return QUANTITIES[name]
