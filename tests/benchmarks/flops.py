"""FLOPs by our two counters over timm models of every family: the network on the meta device against the exported graph's operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch

from harness.core.errors import HarnessError
from harness.core.specs import TensorSpec
from harness.support.flops import count_flops
from harness.support.graph_flops import flops_of_onnx

MODELS = (
    *("resnet18", "resnet50", "convnext_atto", "mobilenetv3_small_100", "efficientnet_b0", "regnety_002", "mixer_s16_224", "poolformer_s12"),
    *("vit_tiny_patch16_224", "vit_small_patch16_224", "deit3_small_patch16_224", "beit_base_patch16_224", "levit_128s"),
    *("swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224"),
)


def measure(folder: Path) -> dict[str, Any]:
    """Both counts per model and their relative difference; a model that a counter refuses is listed with the reason."""
    rows = [_row(folder / "m.onnx", name) for name in MODELS]
    differences = [row["relative_difference"] for row in rows if "relative_difference" in row]
    return {"rows": rows, "models": len(rows), "compared": len(differences), "largest_relative_difference": max(differences)}


def _row(path: Path, name: str) -> dict[str, Any]:
    side = timm.get_pretrained_cfg(name).input_size[-1]
    network = timm.create_model(name, pretrained=False).eval()
    try:
        torch.onnx.export(network, (torch.zeros(1, 3, side, side),), path, dynamo=True, opset_version=20, input_names=["x"], verbose=False)
        graph = sum(flops_of_onnx(path, [TensorSpec(name="x", shape=(1, 3, side, side), dtype="float32")]).values())
    except (HarnessError, torch.onnx.OnnxExporterError) as error:
        return {"model": name, "refused": str(error).partition("\n")[0]}
    counted = count_flops(network.to("meta"), torch.empty(1, 3, side, side, device="meta"))
    return {"model": name, "network_flops": counted, "graph_flops": graph, "relative_difference": abs(graph - counted) / counted}
