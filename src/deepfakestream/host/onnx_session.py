"""ONNX Runtime sessions that share a small machine with PyTorch and with each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def open_session(
    network: bytes,
    *,
    device: str = "cpu",
    num_threads: int = 0,
    weights: Mapping[str, NDArray[np.float32]] | None = None,
) -> Any:
    """Return an onnxruntime session; it may be shared by several threads.

    Args:
        network: the ONNX graph.
        device: "cuda" uses the GPU where onnxruntime has a CUDA provider; anything else the CPU.
        num_threads: threads of one call on the CPU; 0: one a core.
        weights: by name, each in the shape that the graph declares, for a graph that was written without
            them.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # Spinning threads take the cores from torch between two calls: 2 to 3 times slower in one loop with it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if weights is not None:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in weights.values()]
        options.add_external_initializers(list(weights), values)
    wanted = (
        ["CUDAExecutionProvider", "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    )
    usable = [name for name in wanted if name in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(network, options, providers=usable)
