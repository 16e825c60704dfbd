"""Forging whole pictures: the largest face is cut out with its surroundings, forged and put back.

Everything outside of the forged region stays as it was, to the bit. Frames of one clip that are forged with
generators of the same seed get the same kind of region and traces, which follow the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from deepfakestream.faces.crop import crop_face, crop_square
from deepfakestream.faces.types import FaceDetector
from deepfakestream.forge.mesh import CONTEXT_SCALE, FaceMesh, Points
from deepfakestream.forge.regions import Mask
from deepfakestream.forge.self_blend import Forgery, self_blend
from deepfakestream.forge.swap import swap_face
from deepfakestream.media.types import RGBImage

Kind = Literal["self_blend", "swap"]

SURROUNDINGS_SCALE = 1.4
"""Side of the square that is forged over the longer side of the face's box: room for mesh and blend."""
_MESH_SHIFT_Y = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceInPicture:
    """The largest face of a picture, cut out with its surroundings at the picture's own scale."""

    rgb: RGBImage
    """Square crop; what lay over the picture's border is mirrored."""
    points: Points
    """Mesh, in pixels of the crop."""
    left_px: int
    """Column of the picture where the crop begins; may be negative."""
    top_px: int


def find_face(rgb: RGBImage, detector: FaceDetector, mesh: FaceMesh) -> FaceInPicture | None:
    """Return the largest face of a picture, or None where detector or mesh see none.

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        detector: finds the faces.
        mesh: finds the landmarks.
    """
    faces = detector.detect([rgb])[0]
    if not faces:
        return None
    box = faces[0].box_xyxy
    # The mesh is found in the square that its network expects; what is forged needs more around the face.
    mesh_left, mesh_top, side = crop_square(box, scale=CONTEXT_SCALE, shift_y=_MESH_SHIFT_Y)
    crop = crop_face(rgb, box, scale=CONTEXT_SCALE, size_px=side, shift_y=_MESH_SHIFT_Y)
    points = mesh.find(crop, crop_scale=CONTEXT_SCALE)
    if points is None:
        return None
    left, top, side = crop_square(box, scale=SURROUNDINGS_SCALE, shift_y=_MESH_SHIFT_Y)
    crop = crop_face(rgb, box, scale=SURROUNDINGS_SCALE, size_px=side, shift_y=_MESH_SHIFT_Y)
    points = points + np.array([mesh_left, mesh_top], dtype=np.float32)
    points = points - np.array([left, top], dtype=np.float32)
    return FaceInPicture(rgb=crop, points=points, left_px=left, top_px=top)


def forge_picture(
    rgb: RGBImage,
    detector: FaceDetector,
    mesh: FaceMesh,
    rng: np.random.Generator,
    kind: Kind,
    donor: FaceInPicture | None = None,
) -> Forgery | None:
    """Return a picture whose largest face is forged, the picture itself, and the mask between them.

    Args:
        rgb: upright picture `(height, width, 3)`, RGB; the traces are tuned for faces of about 100 to 300
            pixels.
        detector: finds the face.
        mesh: finds its points.
        rng: what the forgery is drawn from.
        kind: `self_blend`, or `swap`, which needs a donor.
        donor: the face that a swap puts in; see `find_face`.

    Returns:
        None where no face was found.

    Raises:
        ValueError: a swap without a donor.
    """
    face = find_face(rgb, detector, mesh)
    if face is None:
        return None
    if kind == "self_blend":
        forged = self_blend(face.rgb, face.points, rng, keep_outside=True)
    elif donor is not None:
        forged = swap_face(face.rgb, face.points, donor.rgb, donor.points, rng)
    else:
        raise ValueError("a swap needs the face of a donor")
    return _put_back(rgb, forged, face)


def _put_back(rgb: RGBImage, forged: Forgery, face: FaceInPicture) -> Forgery:
    height, width = rgb.shape[:2]
    side = face.rgb.shape[0]
    top, left = max(0, face.top_px), max(0, face.left_px)
    bottom, right = min(height, face.top_px + side), min(width, face.left_px + side)
    inside = (
        slice(top - face.top_px, bottom - face.top_px),
        slice(left - face.left_px, right - face.left_px),
    )
    fake = rgb.copy()
    fake[top:bottom, left:right] = forged.fake[inside]
    mask: Mask = np.zeros((height, width), np.float32)
    mask[top:bottom, left:right] = forged.mask[inside]
    return Forgery(real=rgb, fake=fake, mask=mask)
