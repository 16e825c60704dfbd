"""Geometry of face boxes: sides, overlap, containment, suppression of overlapping ones."""

from __future__ import annotations

from typing import cast

import numpy as np

from deepfakestream.faces.types import BoxXYXY, Floats


def as_box(corners_xyxy: Floats) -> BoxXYXY:
    """Return the four corners that an array holds as a box."""
    return cast(BoxXYXY, tuple(corners_xyxy.tolist()))


def width(box_xyxy: BoxXYXY) -> float:
    """Return the width in pixels; 0 for an inverted box."""
    return max(box_xyxy[2] - box_xyxy[0], 0.0)


def height(box_xyxy: BoxXYXY) -> float:
    """Return the height in pixels; 0 for an inverted box."""
    return max(box_xyxy[3] - box_xyxy[1], 0.0)


def longer_side(box_xyxy: BoxXYXY) -> float:
    """Return the longer side in pixels."""
    return max(width(box_xyxy), height(box_xyxy))


def shorter_side(box_xyxy: BoxXYXY) -> float:
    """Return the shorter side in pixels."""
    return min(width(box_xyxy), height(box_xyxy))


def area(box_xyxy: BoxXYXY) -> float:
    """Return the area in square pixels."""
    return width(box_xyxy) * height(box_xyxy)


def centre_xy(box_xyxy: BoxXYXY) -> tuple[float, float]:
    """Return the centre."""
    return (box_xyxy[0] + box_xyxy[2]) / 2, (box_xyxy[1] + box_xyxy[3]) / 2


def turned(box_xyxy: BoxXYXY, quarter_turns: int, hw: tuple[int, int]) -> BoxXYXY:
    """Return the box in the picture, `hw` high and wide, turned against the clock as `numpy.rot90` does.

    Args:
        box_xyxy: left, top, right, bottom in pixels.
        quarter_turns: against the clock.
        hw: height and width of the picture in pixels.
    """
    height_px, width_px = hw
    for _ in range(quarter_turns % 4):
        x_min, y_min, x_max, y_max = box_xyxy
        box_xyxy = y_min, width_px - x_max, y_max, width_px - x_min
        height_px, width_px = width_px, height_px
    return box_xyxy


def turned_points(points_xy: Floats, quarter_turns: int, hw: tuple[int, int]) -> Floats:
    """Return points `(N, 2)` of the picture turned as by `turned`.

    Args:
        points_xy: `(N, 2)` in pixels.
        quarter_turns: against the clock.
        hw: height and width of the picture in pixels.
    """
    height_px, width_px = hw
    for _ in range(quarter_turns % 4):
        points_xy = np.stack([points_xy[:, 1], width_px - points_xy[:, 0]], axis=1)
        height_px, width_px = width_px, height_px
    return points_xy


def overlap_area(a: BoxXYXY, b: BoxXYXY) -> float:
    """Return the area that both boxes cover.

    Args:
        a: left, top, right, bottom in pixels.
        b: left, top, right, bottom in pixels.
    """
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou(a: BoxXYXY, b: BoxXYXY) -> float:
    """Return the intersection over union; 0 where both are empty.

    Args:
        a: left, top, right, bottom in pixels.
        b: left, top, right, bottom in pixels.
    """
    shared = overlap_area(a, b)
    union = area(a) + area(b) - shared
    return shared / union if union > 0 else 0.0


def share_inside(inner: BoxXYXY, outer: BoxXYXY) -> float:
    """Return the share of `inner` that lies inside `outer`; 0 for an empty box.

    Args:
        inner: left, top, right, bottom in pixels.
        outer: likewise.
    """
    own = area(inner)
    return overlap_area(inner, outer) / own if own > 0 else 0.0


def suppress(boxes_xyxy: Floats, max_iou: float) -> list[int]:
    """Return which boxes stay when each removes the later ones that overlap it by more than `max_iou`.

    The boxes come best score first; the order is kept.

    Args:
        boxes_xyxy: `(N, 4)` left, top, right, bottom in pixels, best score first.
        max_iou: overlap above which the later box goes.
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
