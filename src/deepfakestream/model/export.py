"""ONNX export with a dynamic batch: the graph that scores on CPUs."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import onnxscript.optimizer
import torch
from torch import nn

from deepfakestream.model.half_graph import store_weights_in_half

INPUT_NAME = "pixels"
OUTPUT_NAME = "logits"


def export_onnx(network: nn.Module, path: Path, *, size_px: int) -> None:
    """Write the network as an ONNX graph: `pixels` (N, 3, S, S) float 0-255 to `logits` (N,).

    Large weights are stored in half precision and computed in single; the network is left in evaluation mode.

    Args:
        network: to write.
        path: file to write.
        size_px: side of the pictures.
    """
    model = to_onnx(network, size_px=size_px, fold_constants=True)
    store_weights_in_half(model)
    forget_origin(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def to_onnx(network: nn.Module, *, size_px: int, fold_constants: bool) -> onnx.ModelProto:
    """Return the graph of a network from `pixels` (N, 3, S, S) to `logits` (N,), for any N.

    Args:
        network: to export; it is left in evaluation mode.
        size_px: side of the pictures.
        fold_constants: whether weights may be stored transposed, under names of the exporter's.
    """
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
    if fold_constants:
        onnxscript.optimizer.fold_constants(program.model)
    onnxscript.optimizer.remove_unused_nodes(program.model)
    model: onnx.ModelProto = program.model_proto
    return model


def forget_origin(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes on where the graph came from: stack traces with paths of this machine."""
    graph = model.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    for part in (model, graph, *graph.node, *values, *graph.initializer):
        del part.metadata_props[:]
