"""The geometry between MTCNN's three networks: proposals, corrections, squares, suppression.

Conventions (pixels counted from 1, sides with or without the last pixel) are those of the implementation that
the weights come from: they shift a box by a pixel at most, and keep our results comparable with it.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from deepfakestream.faces.area_sampling import Corners
from deepfakestream.faces.types import Floats

STRIDE_PX = 2
CELL_PX = 12
"""The first network looks at squares of this side, this many pixels apart."""


def proposals(faces: Floats, offsets: Floats, zoom: float, min_score: float) -> Floats:
    """Return `(N, 9)` proposals of one level, best first: corners in the picture, score, corrections.

    Args:
        faces: `(rows, columns)` probability of a face.
        offsets: `(4, rows, columns)` corrections of the corners, in sides of the square.
        zoom: size of the level over the size of the picture.
        min_score: least probability.
    """
    rows, columns = np.nonzero(faces >= min_score)
    scores = faces[rows, columns]
    order = np.argsort(-scores, kind="stable")
    corner = np.stack([columns, rows], axis=1)[order].astype(np.float32) * STRIDE_PX
    near, far = np.floor((corner + 1) / zoom), np.floor((corner + CELL_PX) / zoom)
    found = [near, far, scores[order, None], offsets[:, rows, columns].T[order]]
    return cast(Floats, np.concatenate(found, axis=1).astype(np.float32))


def corrected(boxes: Floats, offsets: Floats, *, last_pixel: int) -> Floats:
    """Return boxes `(N, 4)` moved by offsets in sides, where a side counts the last pixel (1) or not (0)."""
    sides = np.tile(boxes[:, 2:4] - boxes[:, :2] + last_pixel, 2)
    return cast(Floats, boxes[:, :4] + offsets * sides)


def squared(boxes: Floats) -> Floats:
    """Return the squares `(N, 4)` around the same centres with the longer side."""
    size = boxes[:, 2:4] - boxes[:, :2]
    side = size.max(axis=1, keepdims=True)
    near = boxes[:, :2] + (size - side) / 2
    return cast(Floats, np.concatenate([near, near + side], axis=1))


def inside(boxes: Floats, height_px: int, width_px: int) -> tuple[Corners, NDArray[np.bool_]]:
    """Return the whole-pixel part of boxes inside the picture, and which boxes have one."""
    whole = np.trunc(boxes[:, :4]).astype(np.int64)
    corners = np.concatenate(
        [np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], (width_px, height_px))], 1
    )
    return corners, (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])


def suppress_nested(boxes: Floats, max_share: float) -> list[int]:
    """Return which boxes stay when each removes later ones; overlap is measured over the smaller box.

    The boxes come best score first; the order is kept.
    """
    areas = np.prod(boxes[:, 2:4] - boxes[:, :2] + 1, axis=1)
    alive = np.ones(len(boxes), dtype=bool)
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if not alive[i]:
            continue
        kept.append(i)
        near, far = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:4], boxes[:, 2:4])
        shared = np.prod(np.clip(far - near + 1, 0, None), axis=1)
        alive &= shared / np.minimum(areas[i], areas) <= max_share
    return kept
