"""From RetinaFace's raw outputs to faces: priors, and the decoding of boxes and landmarks.

Both backbones share this code. Deng et al., "RetinaFace: Single-stage Dense Face Localisation in the Wild",
CVPR 2020 (arXiv:1905.00641); prior sizes, strides and variances as in the PyTorch re-implementations that the
weights come from.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import numpy as np

from deepfakestream.faces.boxes import as_box
from deepfakestream.faces.suppression import suppress
from deepfakestream.faces.types import Detection, Floats

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


@lru_cache(maxsize=16)
def priors(height_px: int, width_px: int) -> Floats:
    """Return `(num_priors, 3)`: centre x, centre y and side of every prior, in pixels of the input."""
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
    """Return `(N, 4)` box corners in input pixels."""
    centre = prior[:, :2] + loc[:, :2] * CENTRE_VARIANCE * prior[:, 2:]
    size = prior[:, 2:] * np.exp(np.minimum(loc[:, 2:] * SIZE_VARIANCE, MAX_LOG_ZOOM))
    return cast(Floats, np.concatenate([centre - size / 2, centre + size / 2], axis=1))


def decode_landmarks(landmarks: Floats, prior: Floats) -> Floats:
    """Return `(N, 5, 2)` landmark positions in input pixels."""
    offsets = landmarks.reshape(-1, 5, 2) * CENTRE_VARIANCE
    return cast(Floats, prior[:, None, :2] + offsets * prior[:, None, 2:])
