"""The part of a crop that is face: how much of a map's evidence lies on it."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfakestream.explain.attribution import Map
from deepfakestream.faces.boxes import height, longer_side, width
from deepfakestream.faces.types import BoxXYXY, ExtractionSpec
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.forge.regions import region
from deepfakestream.media.types import RGBImage

RegionFrom = Literal["mesh", "box"]
FaceMask = NDArray[np.bool_]


def face_region(
    crop: RGBImage, box_xyxy: BoxXYXY, spec: ExtractionSpec, mesh: FaceMesh
) -> tuple[FaceMask, RegionFrom]:
    """Return which pixels `(S, S)` of the crop are face, and what says so.

    The hull of the 468-point mesh; where the mesh's network sees no face, the ellipse in the detector's box.

    Args:
        crop: `(S, S, 3)`, RGB, 0-255.
        box_xyxy: of the face in the picture.
        spec: how the face was cut.
        mesh: finds the landmarks.
    """
    size = spec.crop_size_px
    points = mesh.find(crop, crop_scale=spec.crop_scale)
    if points is not None:
        return region(points, size, "hull") > 0.5, "mesh"
    scale = size / (spec.crop_scale * longer_side(box_xyxy))
    centre = (size / 2, size / 2 - spec.crop_shift_y * size / spec.crop_scale)
    axes = (round(width(box_xyxy) * scale / 2), round(height(box_xyxy) * scale / 2))
    ellipse = np.zeros((size, size), np.uint8)
    cv2.ellipse(ellipse, (round(centre[0]), round(centre[1])), axes, 0, 0, 360, 1, thickness=-1)
    return ellipse > 0, "box"


def energy_inside(cells: Map, mask: FaceMask) -> float | None:
    """Return the share of the map's evidence for a fake (cells above 0) that lies inside the mask.

    None where no cell speaks for a fake.

    Args:
        cells: map `(rows, columns)`, above 0 where it speaks for a fake.
        mask: `(S, S)`, True inside.
    """
    positive = np.clip(enlarged(cells, mask.shape[0]), 0.0, None)
    total = float(positive.sum())
    return float(positive[mask].sum()) / total if total > 0 else None


def enlarged(cells: Map, size_px: int) -> Map:
    """Return the map at the size of the crop, `(size_px, size_px)`, interpolated linearly.

    Args:
        cells: map `(rows, columns)`, above 0 where it speaks for a fake.
        size_px: side of the square in pixels.
    """
    bigger = cv2.resize(cells, (size_px, size_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(bigger, dtype=np.float32)
