"""The face detectors by name."""

from __future__ import annotations

import os
from pathlib import Path

from deepfakestream.errors import ParamsError
from deepfakestream.faces import mtcnn, retinaface_mnet025
from deepfakestream.faces.types import FaceDetector
from deepfakestream.host.device import resolve_device

NAMES = ("retinaface_mnet025", "retinaface_r50", "mtcnn")
MAX_THREADS = 4
"""One picture of 640 pixels does not keep more busy."""


def open_detector(name: str, *, weights: Path | None, device: str) -> FaceDetector:
    """Return a detector that is ready to use; it may be shared by several threads.

    Args:
        name: one of `NAMES`.
        weights: checkpoint of the ResNet-50; None: the one in torch's cache, else downloaded. The MobileNet's
            and MTCNN's weights are part of the package, they ignore this.
        device: auto, cpu or cuda; auto takes the GPU where there is one.

    Raises:
        ParamsError: no detector has this name, or a GPU was asked for and there is none.
        WeightsError: the weights are missing or not the expected ones.
    """
    device = resolve_device(device)
    # Half the cores: the classifier works on the others at the same time.
    num_threads = min(MAX_THREADS, max(1, (os.cpu_count() or 2) // 2))
    if name == mtcnn.NAME:
        return mtcnn.open_mtcnn(device=device, num_threads=num_threads)
    if name == retinaface_mnet025.NAME:
        return retinaface_mnet025.open_mnet025(device=device, num_threads=num_threads)
    if name == "retinaface_r50":
        from deepfakestream.faces import retinaface_r50

        return retinaface_r50.open_r50(weights, device=device)
    raise ParamsError(f"detector: '{name}' is unknown; choose one of {', '.join(NAMES)}")
