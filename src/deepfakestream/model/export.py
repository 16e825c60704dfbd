"""ONNX export with a dynamic batch and weights stored in half precision, computed in single."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from deepfakestream.model.network import DetectorNetwork

INPUT_NAME = "pixels"
OUTPUT_NAME = "logits"
MIN_HALF_SIZE = 256
"""Smaller tensors are not worth a cast node."""


def export_onnx(network: DetectorNetwork, path: Path, *, size_px: int) -> None:
    """Write the network as an ONNX graph: `pixels` (N, 3, S, S) float 0-255 to `logits` (N,)."""
    example = torch.zeros(2, 3, size_px, size_px)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            network.eval(),
            (example,),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            optimize=False,  # folding batch norms here would round other numbers than model.safetensors holds
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    store_weights_in_half(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def store_weights_in_half(model: onnx.ModelProto) -> None:
    """Replace large single-precision initializers by half-precision ones, each behind a cast."""
    graph = model.graph
    casts = []
    for initializer in list(graph.initializer):
        values = numpy_helper.to_array(initializer)
        if initializer.data_type != TensorProto.FLOAT or values.size < MIN_HALF_SIZE:
            continue
        half_name = f"{initializer.name}__half"
        graph.initializer.remove(initializer)
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), half_name))
        casts.append(
            helper.make_node("Cast", [half_name], [initializer.name], f"{initializer.name}__cast", to=TensorProto.FLOAT)
        )
    for cast in reversed(casts):
        graph.node.insert(0, cast)
