"""A dense face mesh: 468 points a face, from MediaPipe's network through LiteRT on the CPU.

RetinaFace's five points are too few for hulls and region masks. Kartynnik et al. (2019, arXiv 1907.06724)
describe the network; the weights are Apache-2.0 (see `weights/LICENSE.face_landmark.md`).
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfakestream.errors import WeightsError
from deepfakestream.media.types import RGBImage

NUM_POINTS = 468
INPUT_SIZE_PX = 192
CONTEXT_SCALE = 1.15
"""Side of the square that the network expects over RetinaFace's longer box side. MediaPipe asks for 1.5 times
its own detector's box, which ends at the brows."""
MIN_FACE_LOGIT = 0.0
WEIGHTS_SHA256 = "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493"

Points = NDArray[np.float32]
"""Landmarks of one face, `(468, 2)`, x and y in pixels of the crop."""


class FaceMesh:
    """Finds the mesh of the face that fills a crop."""

    def __init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        content = (resources.files("deepfakestream.forge") / "weights" / "face_landmark.tflite").read_bytes()
        if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
            raise WeightsError("face_landmark.tflite: not the file that shipped; install the package again")
        self._interpreter: Any = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._input: int = self._interpreter.get_input_details()[0]["index"]
        outputs = {int(np.prod(o["shape"])): o["index"] for o in self._interpreter.get_output_details()}
        self._points, self._logit = outputs[NUM_POINTS * 3], outputs[1]

    def find(self, crop: RGBImage, *, crop_scale: float) -> Points | None:
        """Return the mesh of a face, `(468, 2)` in pixels of the crop, or None where the network sees none.

        Args:
            crop: square face crop `(S, S, 3)`, RGB, 0-255.
            crop_scale: side of the crop over the longer side of the face's box, as the crop was made.
        """
        margin = round(crop.shape[0] * (CONTEXT_SCALE / crop_scale - 1.0) / 2.0)
        if margin < 0:
            framed = crop[-margin:margin, -margin:margin]
        else:
            framed = np.asarray(
                cv2.copyMakeBorder(crop, margin, margin, margin, margin, cv2.BORDER_REPLICATE), dtype=np.uint8
            )
        side = framed.shape[0]
        resized = cv2.resize(framed, (INPUT_SIZE_PX, INPUT_SIZE_PX), interpolation=cv2.INTER_AREA)
        self._interpreter.set_tensor(self._input, resized[None].astype(np.float32) / 255.0)
        self._interpreter.invoke()
        if float(self._interpreter.get_tensor(self._logit).ravel()[0]) < MIN_FACE_LOGIT:
            return None
        points = self._interpreter.get_tensor(self._points).reshape(NUM_POINTS, 3)[:, :2]
        in_crop: Points = (points * (side / INPUT_SIZE_PX) - margin).astype(np.float32)
        return in_crop
