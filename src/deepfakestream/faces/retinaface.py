"""RetinaFace around any backbone: up to three detection passes over a picture, merged into one list of faces.

The first pass is at up to 640 pixels. Where it finds no confident face, or one that fills much of the
picture, a coarse pass at 224 pixels follows. Both backbones were trained on faces much smaller than their
input: on a tight portrait the first pass misses the face, or takes its parts for more faces. Where a large
picture has shown no confident face yet, the detail pass at up to 1280 pixels finds small ones. Measured in
docs/FACE_DETECTION.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from deepfakestream.faces.boxes import as_box, iou, longer_side, share_inside, suppress
from deepfakestream.faces.types import Detection, Floats
from deepfakestream.faces.weights_file import detector_digest
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

Heads = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Box offsets `(N, P, 4)`, probabilities of a face `(N, P)`, landmark offsets `(N, P, 10)`."""

STRIDES_PX = (8, 16, 32)
PRIOR_SIDES_PX = ((16, 32), (64, 128), (256, 512))
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2
MAX_LOG_ZOOM = 4.0
"""A box is at most e^4 times its prior: keeps wild outputs finite."""
MIN_SCORE = 0.5
"""Faces below this are not reported at all; `ExtractionSpec.min_score` is the threshold that counts."""
NMS_IOU = 0.4
MAX_CANDIDATES = 1000
"""The best-scored boxes that go into suppression: bounds its quadratic cost on adversarial pictures."""
HEADS_FACTS = {
    "strides_px": STRIDES_PX,
    "prior_sides_px": PRIOR_SIDES_PX,
    "centre_variance": CENTRE_VARIANCE,
    "size_variance": SIZE_VARIANCE,
    "max_log_zoom": MAX_LOG_ZOOM,
    "min_score": MIN_SCORE,
    "nms_iou": NMS_IOU,
    "max_candidates": MAX_CANDIDATES,
}
"""The constants above, for the digest of the detector."""
ALGORITHM = {
    "version": 3,  # raise it when the code below finds other faces with the same constants
    "looks_px": (FIRST_LONG_SIDE_PX, COARSE_LONG_SIDE_PX, DETAIL_LONG_SIDE_PX),
    "sure_score": SURE_SCORE,
    "fills_picture_share": FILLS_PICTURE_SHARE,
    "nested_share": NESTED_SHARE,
    **HEADS_FACTS,
    **SIZE_FACTS,
}


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
        """Return each picture's faces, the largest first; an empty list where there is none.

        Args:
            images: upright pictures `(height, width, 3)`, RGB, 0-255; sizes may differ.
        """
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


@lru_cache(maxsize=16)
def priors(height_px: int, width_px: int) -> Floats:
    """Return `(num_priors, 3)`: centre x, centre y and side of every prior, in pixels of the input.

    Args:
        height_px: height of the input.
        width_px: width of the input.
    """
    parts = []
    for stride, sides in zip(STRIDES_PX, PRIOR_SIDES_PX, strict=True):
        rows, columns = -(-height_px // stride), -(-width_px // stride)
        centre_y, centre_x = np.mgrid[:rows, :columns].astype(np.float32)
        grid = np.stack([(centre_x + 0.5) * stride, (centre_y + 0.5) * stride], axis=-1).reshape(-1, 1, 2)
        side = np.broadcast_to(
            np.array(sides, dtype=np.float32)[None, :, None], (rows * columns, len(sides), 1)
        )
        parts.append(np.concatenate([np.repeat(grid, len(sides), axis=1), side], axis=-1).reshape(-1, 3))
    table = np.concatenate(parts).astype(np.float32)
    table.flags.writeable = False
    return table


def faces_from_heads(
    loc: Floats, scores: Floats, landmarks: Floats, input_hw: tuple[int, int], full_hw: tuple[int, int]
) -> list[Detection]:
    """Return one picture's faces, the best score first.

    Args:
        loc: `(num_priors, 4)` box offsets relative to the priors.
        scores: `(num_priors,)` probability of a face.
        landmarks: `(num_priors, 10)` landmark offsets relative to the priors.
        input_hw: height and width that the network saw.
        full_hw: height and width of the picture; boxes and landmarks are scaled to it.
    """
    chosen = np.flatnonzero((scores > MIN_SCORE) & np.isfinite(loc).all(axis=1))
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")][:MAX_CANDIDATES]
    prior = priors(*input_hw)[chosen]
    zoom_xy = np.array([full_hw[1] / input_hw[1], full_hw[0] / input_hw[0]], dtype=np.float32)
    boxes_xyxy = decode_boxes(loc[chosen], prior) * np.tile(zoom_xy, 2)
    points_xy = decode_landmarks(landmarks[chosen], prior) * zoom_xy
    return [
        Detection(
            box_xyxy=as_box(boxes_xyxy[i]),
            landmarks_xy=points_xy[i].astype(np.float32),
            score=float(scores[chosen[i]]),
        )
        for i in suppress(boxes_xyxy, NMS_IOU)
    ]


def decode_boxes(loc: Floats, prior: Floats) -> Floats:
    """Return `(N, 4)` box corners in input pixels.

    Args:
        loc: offsets of the network `(num_priors, 4)`.
        prior: centre x, centre y and side of each prior, `(num_priors, 3)`.
    """
    centre = prior[:, :2] + loc[:, :2] * CENTRE_VARIANCE * prior[:, 2:]
    size = prior[:, 2:] * np.exp(np.minimum(loc[:, 2:] * SIZE_VARIANCE, MAX_LOG_ZOOM))
    return cast(Floats, np.concatenate([centre - size / 2, centre + size / 2], axis=1))


def decode_landmarks(landmarks: Floats, prior: Floats) -> Floats:
    """Return `(N, 5, 2)` landmark positions in input pixels.

    Args:
        landmarks: offsets of the network `(num_priors, 10)`.
        prior: centre x, centre y and side of each prior, `(num_priors, 3)`.
    """
    offsets = landmarks.reshape(-1, 5, 2) * CENTRE_VARIANCE
    return cast(Floats, prior[:, None, :2] + offsets * prior[:, None, 2:])
