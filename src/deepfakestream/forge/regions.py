"""Regions of a face as polygons over the mesh: what a generator replaces and what a blend covers."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfakestream.forge.mesh import Points

Mask = NDArray[np.float32]
"""Soft mask `(height, width)`, 0-1."""

OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
        152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
NOSE = (168, 193, 122, 196, 236, 198, 209, 49, 48, 64, 98, 97, 2, 326, 327,
        294, 278, 279, 429, 420, 456, 419, 351, 417)  # fmt: skip
JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)

REGION_KINDS = ("hull", "below_brows", "inner", "components", "mouth", "lower_half", "eyes")
REGION_WEIGHTS = (0.30, 0.25, 0.15, 0.10, 0.08, 0.07, 0.05)


def random_region(points: Points, size_px: int, rng: np.random.Generator) -> Mask:
    """Return the hard mask of a random region, from the whole hull to the mouth alone.

    Args:
        points: landmarks `(468, 2)` in pixels.
        size_px: side of the square in pixels.
        rng: random numbers; the same state gives the same result.
    """
    return region(points, size_px, str(rng.choice(REGION_KINDS, p=REGION_WEIGHTS)))


def region(points: Points, size_px: int, kind: str) -> Mask:
    """Return the hard mask `(size_px, size_px)` of a region of `REGION_KINDS`.

    Args:
        points: landmarks `(468, 2)` in pixels.
        size_px: side of the square in pixels.
        kind: one of `REGION_KINDS`.
    """
    mask = np.zeros((size_px, size_px), np.float32)
    for polygon in _polygons(points, kind):
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(polygon).astype(np.int32)), 1.0)
    return mask


def _polygons(points: Points, kind: str) -> list[Points]:
    if kind == "hull":
        return [points[list(OVAL)]]
    if kind == "below_brows":
        return [points[[*BROWS, *JAW]]]
    if kind == "inner":
        return [points[[*BROWS, *LIPS, *NOSE]]]
    if kind == "components":
        return [_grown(points[list(part)], 1.35) for part in (RIGHT_EYE, LEFT_EYE, LIPS, NOSE)]
    if kind == "mouth":
        return [_grown(points[list(LIPS)], 1.5)]
    if kind == "lower_half":
        return [points[[*JAW, *LIPS, 2]]]
    if kind == "eyes":
        return [_grown(points[[*RIGHT_EYE, *LEFT_EYE, *BROWS]], 1.1)]
    raise ValueError(f"no region is called '{kind}'")


def _grown(polygon: Points, factor: float) -> Points:
    centre = polygon.mean(axis=0)
    grown: Points = centre + (polygon - centre) * np.float32(factor)
    return grown
