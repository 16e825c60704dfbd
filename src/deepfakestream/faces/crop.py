"""The only crop in the project: training, evaluation, command line and service all cut faces here."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfakestream.faces.boxes import centre_xy, longer_side, turned
from deepfakestream.faces.types import BoxXYXY, Detection
from deepfakestream.media.types import RGBImage

MIN_CLEARANCE = 0.02
"""Of the points that make a face from the picture's border, over the longer side of the box."""
FOREHEAD = 0.10
"""Above the eyes, over the longer side of the box; `tests/bench/test_cut_faces.py` measures both limits."""


def crop_face(
    rgb: RGBImage,
    box_xyxy: BoxXYXY,
    *,
    scale: float,
    size_px: int,
    shift_y: float = 0.0,
    quarter_turns: int = 0,
) -> RGBImage:
    """Return the square around a face as `(size_px, size_px, 3)`.

    The square has whole-pixel corners, so that a box that differs by rounding gives the very same pixels.
    What lies over the picture's border is mirrored from inside. Areas are averaged when shrinking; enlarging
    is cubic.

    Args:
        rgb: the upright picture.
        box_xyxy: the face, in pixels of the picture; may reach over its border.
        scale: side of the square over the longer side of the box.
        size_px: side of the result.
        shift_y: how far the square's centre lies below the box's, over the longer side of the box.
        quarter_turns: how often the picture is turned by 90 degrees against the clock first, for a face that
            lies on its side.

    Raises:
        ValueError: the box is empty or not finite.
    """
    box_xyxy, rgb = turned(box_xyxy, quarter_turns, rgb.shape[:2]), np.rot90(rgb, quarter_turns)
    left, top, side = crop_square(box_xyxy, scale=scale, shift_y=shift_y)
    columns = _mirrored(left, side, rgb.shape[1])
    rows = _mirrored(top, side, rgb.shape[0])
    return resize_square(rgb[rows[:, None], columns], size_px)


def is_cut_off(face: Detection, picture_hw: tuple[int, int]) -> bool:
    """Tell whether the picture's border cuts off so much of a face that its score means little.

    Eyes, nose and mouth corners must lie in the picture, at least `MIN_CLEARANCE` from its border, and so
    must the forehead up to `FOREHEAD` above the eyes. The box does not tell: detectors fit it to what they
    see.

    Args:
        face: the face, in pixels of the picture; landmarks that are unknown cut off nothing.
        picture_hw: height and width of the picture.
    """
    points = face.landmarks_xy.astype(np.float64)
    if not np.isfinite(points).all():
        return False
    side = longer_side(face.box_xyxy)
    up = points[:2].mean(axis=0) - points[3:].mean(axis=0)
    up *= FOREHEAD * side / max(float(np.linalg.norm(up)), 1e-6)
    needed = np.vstack([points, points[:2] + up])
    clearance = np.minimum(needed, np.array(picture_hw[::-1]) - needed).min()
    return bool(clearance < MIN_CLEARANCE * side)


def crop_square(box_xyxy: BoxXYXY, *, scale: float, shift_y: float = 0.0) -> tuple[int, int, int]:
    """Return left, top and side of the square that `crop_face` cuts, in pixels of the picture.

    Args:
        box_xyxy: the face: left, top, right, bottom in pixels.
        scale: side of the square over the longer side of the box.
        shift_y: how far the square's centre lies below the box's, over the longer side of the box.

    Raises:
        ValueError: the box is empty or not finite.
    """
    longer_px = longer_side(box_xyxy)
    if not (all(math.isfinite(value) for value in box_xyxy) and longer_px > 0):
        raise ValueError(f"box_xyxy {box_xyxy} is empty or not finite; a face needs a box with an area")
    side = max(1, round(longer_px * scale))
    centre_x, centre_y = centre_xy(box_xyxy)
    return round(centre_x - side / 2), round(centre_y + shift_y * longer_px - side / 2), side


def resize_square(rgb: RGBImage, size_px: int) -> RGBImage:
    """Return the picture squeezed to a square of `size_px`; unchanged where it has that size already.

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
        size_px: side of the result in pixels.
    """
    if rgb.shape[:2] == (size_px, size_px):
        return np.ascontiguousarray(rgb)
    shrinks = min(rgb.shape[:2]) >= size_px
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), (size_px, size_px), interpolation=method))


def _mirrored(start: int, count: int, length: int) -> NDArray[np.int64]:
    """Return `count` positions from `start`; those outside are mirrored without repeating the edge."""
    if length == 1:
        return np.zeros(count, dtype=np.int64)
    period = 2 * (length - 1)
    positions = np.abs(np.arange(start, start + count, dtype=np.int64)) % period
    return np.where(positions < length, positions, period - positions)
