"""RetinaFace around any backbone: two looks at a picture, decoding, one list of faces.

The first look is at up to 640 pixels. Where it finds nothing, or a face that fills much of the picture, a
second look at up to 224 pixels follows: both backbones were trained on faces much smaller than their input,
and on a tight portrait the fine look misses the face or takes its parts for more faces
(docs/FACE_DETECTION.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from deepfakestream.faces.boxes import iou, longer_side, share_inside
from deepfakestream.faces.retinaface_heads import NMS_IOU, faces_from_heads
from deepfakestream.faces.types import Detection
from deepfakestream.faces.working_size import batches
from deepfakestream.media.types import RGBImage

FINE_LONG_SIDE_PX = 640
COARSE_LONG_SIDE_PX = 224
FILLS_PICTURE_SHARE = 0.5
"""A longer box side above this share of the picture's longer side asks for the second look."""
NESTED_SHARE = 0.7
"""A box of which more than this lies inside another one shows a part of the same face."""

Heads = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Box offsets `(N, P, 4)`, probabilities of a face `(N, P)`, landmark offsets `(N, P, 10)`."""


class Network(Protocol):
    """A backbone with its heads."""

    def __call__(self, stacked_rgb: RGBImage) -> Heads:
        """Run on `(N, height, width, 3)` pictures of one size."""
        ...


class RetinaFace:
    """A `FaceDetector`; results do not depend on how pictures are grouped into calls."""

    def __init__(self, name: str, digest: str, network: Network) -> None:
        self.name = name
        self.digest = digest
        self._network = network

    def detect(self, images: Sequence[RGBImage]) -> list[list[Detection]]:
        """Return each picture's faces, the largest first; an empty list where there is none."""
        found = self._look(images, FINE_LONG_SIDE_PX)
        again = [i for i, faces in enumerate(found) if _asks_for_second_look(images[i], faces)]
        for position, coarse in zip(
            again, self._look([images[i] for i in again], COARSE_LONG_SIDE_PX), strict=True
        ):
            found[position] = _merge(coarse, found[position])
        return [sorted(faces, key=lambda face: -longer_side(face.box_xyxy)) for faces in found]

    def _look(self, images: Sequence[RGBImage], max_long_side_px: int) -> list[list[Detection]]:
        found: list[list[Detection]] = [[] for _ in images]
        for positions, stacked in batches(images, max_long_side_px):
            loc, scores, landmarks = self._network(stacked)
            hw = cast(tuple[int, int], stacked.shape[1:3])
            for row, position in enumerate(positions):
                full_hw = cast(tuple[int, int], images[position].shape[:2])
                found[position] = faces_from_heads(loc[row], scores[row], landmarks[row], hw, full_hw)
        return found


def _asks_for_second_look(rgb: RGBImage, faces: Sequence[Detection]) -> bool:
    long_side = max(rgb.shape[:2])
    if long_side <= COARSE_LONG_SIDE_PX:
        return False
    return not faces or any(longer_side(face.box_xyxy) > FILLS_PICTURE_SHARE * long_side for face in faces)


def _merge(coarse: Sequence[Detection], fine: Sequence[Detection]) -> list[Detection]:
    merged: list[Detection] = []
    for face in (*coarse, *fine):
        box = face.box_xyxy
        if all(
            iou(box, k.box_xyxy) <= NMS_IOU and share_inside(box, k.box_xyxy) <= NESTED_SHARE for k in merged
        ):
            merged.append(face)
    return merged
