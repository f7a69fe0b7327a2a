"""The product of int8 matrices for `support.peaks`, in ONNX Runtime: PyTorch's on a processor is no fast one (0.6 against 90 to 200 GOP/s)."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from harness.support.peaks import Kernel


def integer_product(side: int, threads: int) -> Kernel:
    """uint8 by int8, added up in int32, as MatMulInteger and quantized convolutions do. `run` gives a list with the product."""
    left, right = np.full((side, side), 3, np.uint8), np.full((side, side), -2, np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right"], ["product"])],
        "peak",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, [side, side])],
        [helper.make_tensor_value_info("product", TensorProto.INT32, [side, side])],
        [numpy_helper.from_array(right, "right")],
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return Kernel(lambda: session.run(None, {"left": left}), 2.0 * side**3)
