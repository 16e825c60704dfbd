"""ONNX graphs whose weights are stored in half precision, which halves the file, and computed in single."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HALF = "__half"
MIN_HALF_SIZE = 256
"""Smaller tensors are not worth a cast node."""
MAX_HALF = 65504.0
"""Largest number that half precision holds; tensors beyond it keep single precision."""
_PASSES_ON = frozenset({"Add", "Cast", "Div", "Flatten", "Identity", "Mul", "Reshape", "Squeeze"})
"""Nodes that may stand between the linear head and the logits."""


def store_weights_in_half(model: onnx.ModelProto) -> None:
    """Replace large single-precision initializers by half-precision ones, each behind a cast."""
    graph = model.graph
    casts = []
    for initializer in list(graph.initializer):
        values = numpy_helper.to_array(initializer)
        if initializer.data_type != TensorProto.FLOAT or values.size < MIN_HALF_SIZE:
            continue
        if np.abs(values).max() > MAX_HALF:
            continue
        half_name = initializer.name + HALF
        graph.initializer.remove(initializer)
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), half_name))
        casts.append(
            helper.make_node(
                "Cast", [half_name], [initializer.name], f"{initializer.name}__cast", to=TensorProto.FLOAT
            )
        )
    for cast in reversed(casts):
        graph.node.insert(0, cast)


def single_precision_graph(path: Path, *, with_features: bool = False) -> bytes:
    """Return the graph with its weights as plain single-precision initializers.

    ONNX Runtime folds batch norms into convolutions only when the weights are initializers; behind their
    casts the graph would run at half the speed.

    Args:
        path: the graph.
        with_features: give what the linear head sees as further outputs, `(N, C)` each: two where a face and
            its mirror image are scored, none where the graph does not end with a linear head.

    Raises:
        OSError: the file cannot be read.
        google.protobuf.message.DecodeError: it is not an ONNX graph.
    """
    model = onnx.load_model_from_string(path.read_bytes())
    graph = model.graph
    halves = {
        initializer.name: initializer for initializer in graph.initializer if initializer.name.endswith(HALF)
    }
    for node in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in halves]:
        half = halves[node.input[0]]
        values = numpy_helper.to_array(half).astype(np.float32)
        graph.initializer.remove(half)
        graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        graph.node.remove(node)
    if with_features:
        for name in _head_inputs(graph):
            graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    serialised: bytes = model.SerializeToString()
    return serialised


def _head_inputs(graph: onnx.GraphProto) -> list[str]:
    """Return the names of what the linear head multiplies, found from the output of the graph backwards."""
    maker = {name: node for node in graph.node for name in node.output}
    found: list[str] = []
    waiting = [graph.output[0].name]
    while waiting:
        node = maker.get(waiting.pop())
        if node is None:
            continue
        if node.op_type == "Gemm":
            found.append(node.input[0])
        elif node.op_type in _PASSES_ON:
            waiting += node.input
    return sorted(set(found))
