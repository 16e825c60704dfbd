"""Scores of the tower: ONNX Runtime on a CPU with weights given at load, PyTorch on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from deepfakestream.errors import WeightsError
from deepfakestream.host.onnx_session import open_session
from deepfakestream.model.tower.sources import read_tower

WEIGHTS_PREFIX = "streams.tower.backbone.vit."
"""Before timm's names of the tower's weights in the network."""

TowerRuntime = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps pixels `(N, 3, S, S)`, float32, 0-255, to logits `(N,)`."""


def open_tower(graph: Path, tuned: Path, tower: Path) -> TowerRuntime:
    """Return the tower on the CPU, ready to score.

    Args:
        graph: ONNX graph without weights.
        tuned: safetensors file of layer norms and head.
        tower: file with the tower's weights.

    Raises:
        WeightsError: a file is missing or damaged, or they do not belong together.
    """
    weights = {f"{WEIGHTS_PREFIX}{name}": each for name, each in read_tower(tower).items()}
    try:
        weights |= load_file(tuned)
        session = open_session(graph.read_bytes(), weights=weights)
    except Exception as error:
        raise WeightsError(
            f"{graph} and {tuned}: not what ONNX Runtime can load with this tower ({type(error).__name__}); "
            "install the package or export the model folder again, or use the fast detector"
        ) from error
    (pixels_in,) = session.get_inputs()

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(None, {pixels_in.name: pixels})[0]
        return logits

    return run
