"""RetinaFace around any backbone: up to three detection passes over a picture, merged into one list of faces.

The first pass is at up to 640 pixels. Where it finds no confident face, or one that fills much of the
picture, a coarse pass at 224 pixels follows. Both backbones were trained on faces much smaller than their
input: on a tight portrait the first pass misses the face, or takes its parts for more faces. Where a large
picture has shown no confident face yet, the detail pass at up to 1280 pixels finds small ones. Measured in
docs/FACE_DETECTION.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from deepfakestream.faces.boxes import iou, longer_side, share_inside
from deepfakestream.faces.identity import detector_digest
from deepfakestream.faces.retinaface_heads import HEADS_FACTS, NMS_IOU, faces_from_heads
from deepfakestream.faces.types import Detection
from deepfakestream.faces.working_size import SIZE_FACTS, batches
from deepfakestream.media.types import RGBImage

FIRST_LONG_SIDE_PX = 640
COARSE_LONG_SIDE_PX = 224
DETAIL_LONG_SIDE_PX = 1280
SURE_SCORE = 0.8
"""A face below this does not end the search."""
FILLS_PICTURE_SHARE = 0.5
"""A longer box side above this share of the picture's longer side asks for the coarse pass."""
NESTED_SHARE = 0.7
"""A box of which more than this lies inside another one shows a part of the same face."""
ALGORITHM = {
    "version": 3,  # raise it when the code below finds other faces with the same constants
    "looks_px": (FIRST_LONG_SIDE_PX, COARSE_LONG_SIDE_PX, DETAIL_LONG_SIDE_PX),
    "sure_score": SURE_SCORE,
    "fills_picture_share": FILLS_PICTURE_SHARE,
    "nested_share": NESTED_SHARE,
    **HEADS_FACTS,
    **SIZE_FACTS,
}

Heads = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Box offsets `(N, P, 4)`, probabilities of a face `(N, P)`, landmark offsets `(N, P, 10)`."""


class Network(Protocol):
    """A backbone with its heads."""

    def __call__(self, stacked_rgb: RGBImage) -> Heads:
        """Run on `(N, height, width, 3)` pictures of one size."""
        ...


class RetinaFace:
    """A `FaceDetector`; results do not depend on how pictures are grouped into calls."""

    def __init__(self, name: str, weights_sha256: str, network: Network) -> None:
        self.name = name
        self.digest = detector_digest(weights_sha256, ALGORITHM)
        self._network = network

    def detect(self, images: Sequence[RGBImage]) -> list[list[Detection]]:
        """Return each picture's faces, the largest first; an empty list where there is none."""
        found = self._detection_pass(images, FIRST_LONG_SIDE_PX)
        for max_long_side_px, is_needed in (
            (COARSE_LONG_SIDE_PX, _needs_coarse_pass),
            (DETAIL_LONG_SIDE_PX, _needs_detail_pass),
        ):
            again = [i for i, faces in enumerate(found) if is_needed(max(images[i].shape[:2]), faces)]
            newer = self._detection_pass([images[i] for i in again], max_long_side_px)
            for position, faces in zip(again, newer, strict=True):
                found[position] = _merge(faces, found[position], max(images[position].shape[:2]))
        return [sorted(faces, key=lambda face: -longer_side(face.box_xyxy)) for faces in found]

    def _detection_pass(self, images: Sequence[RGBImage], max_long_side_px: int) -> list[list[Detection]]:
        found: list[list[Detection]] = [[] for _ in images]
        for positions, stacked in batches(images, max_long_side_px):
            loc, scores, landmarks = self._network(stacked)
            hw = cast(tuple[int, int], stacked.shape[1:3])
            for row, position in enumerate(positions):
                full_hw = cast(tuple[int, int], images[position].shape[:2])
                found[position] = faces_from_heads(loc[row], scores[row], landmarks[row], hw, full_hw)
        return found


def _needs_coarse_pass(long_side_px: int, faces: Sequence[Detection]) -> bool:
    if long_side_px <= COARSE_LONG_SIDE_PX:
        return False
    filled_px = FILLS_PICTURE_SHARE * long_side_px
    return not _is_sure(faces) or any(longer_side(face.box_xyxy) > filled_px for face in faces)


def _needs_detail_pass(long_side_px: int, faces: Sequence[Detection]) -> bool:
    return not _is_sure(faces) and long_side_px > FIRST_LONG_SIDE_PX


def _is_sure(faces: Sequence[Detection]) -> bool:
    return any(face.score >= SURE_SCORE for face in faces)


def _merge(newer: Sequence[Detection], before: Sequence[Detection], long_side_px: int) -> list[Detection]:
    """Return one list of a pass's faces and those of earlier passes; the first of two that overlap stays.

    A coarse pass misses small faces next to a close-up, so its result never overrides a confident earlier
    one, but for a confident face that fills the picture.
    """
    filled_px = FILLS_PICTURE_SHARE * long_side_px
    fills = [f for f in newer if f.score >= SURE_SCORE and longer_side(f.box_xyxy) > filled_px]
    sure_before = [f for f in before if f.score >= SURE_SCORE]
    merged: list[Detection] = []
    for face in (*fills, *sure_before, *newer, *before):
        box = face.box_xyxy
        if all(
            iou(box, k.box_xyxy) <= NMS_IOU and share_inside(box, k.box_xyxy) <= NESTED_SHARE for k in merged
        ):
            merged.append(face)
    return merged
