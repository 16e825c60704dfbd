"""Non-maximum suppression: of boxes that overlap, the one with the best score stays."""

from __future__ import annotations

from typing import cast

import numpy as np

from deepfakestream.faces.types import Floats


def suppress(boxes_xyxy: Floats, max_iou: float) -> list[int]:
    """Return which boxes stay when each removes the later ones that overlap it by more than `max_iou`.

    The boxes come best score first; the order is kept.
    """
    kept: list[int] = []
    alive = np.ones(len(boxes_xyxy), dtype=bool)
    for i, box in enumerate(boxes_xyxy):
        if not alive[i]:
            continue
        kept.append(i)
        alive &= _iou_with(box, boxes_xyxy) <= max_iou
    return kept


def _iou_with(box_xyxy: Floats, boxes_xyxy: Floats) -> Floats:
    """Return the `(N,)` intersection over union of one box with each other one; 0 where both are empty."""
    top_left = np.maximum(box_xyxy[:2], boxes_xyxy[:, :2])
    bottom_right = np.minimum(box_xyxy[2:], boxes_xyxy[:, 2:])
    inter = np.prod(np.clip(bottom_right - top_left, 0, None), axis=1)
    areas = np.prod(np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None), axis=1)
    own = np.prod(np.clip(box_xyxy[2:] - box_xyxy[:2], 0, None))
    return cast(Floats, inter / np.maximum(own + areas - inter, 1e-9))
