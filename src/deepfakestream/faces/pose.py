"""Where a head looks, from the five landmarks and nothing else.

Scaled orthographic pose of DeMenthon and Davis, "Model-based object pose in 25 lines of code", IJCV 1995,
without its iterations: a closed form that needs no camera. Angles are taken in the order roll, yaw, pitch:
turn the picture upright by the roll, then the yaw is what a profile shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FACE_MODEL_MM = np.array(
    [
        (-31.5, -36.0, 0.0),
        (31.5, -36.0, 0.0),
        (0.0, 0.0, -30.0),
        (-26.0, 36.5, -5.0),
        (26.0, 36.5, -5.0),
    ]
)
"""Eyes, nose tip and mouth corners of a generic face seen from the front: x right, y down, z away from us.

Across the picture the alignment template that most face recognition uses (Deng et al., ArcFace, CVPR 2019) at
63 mm between the pupils; the depths are those of an average adult, to a few millimetres."""
_CENTRED = FACE_MODEL_MM - FACE_MODEL_MM.mean(axis=0)
_MODEL_INVERSE = np.linalg.pinv(_CENTRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadPose:
    """Angles of a head in degrees, each 0 for a face that looks into the camera."""

    yaw_deg: float
    """Positive where the face is turned to the right of the picture; within 90."""
    pitch_deg: float
    """Positive where it looks up."""
    roll_deg: float
    """Positive where it is tilted clockwise in the picture; within 180."""

    @property
    def quarter_turns(self) -> int:
        """How often to turn the picture by 90 degrees against the clock until the head stands best, 0-3."""
        return round(self.roll_deg / 90) % 4


def head_pose(landmarks_xy: NDArray[np.floating]) -> HeadPose | None:
    """Return the pose that belongs to five landmarks `(5, 2)`; None where they are unknown or coincide."""
    points = np.asarray(landmarks_xy, dtype=np.float64)
    if not np.isfinite(points).all():
        return None
    affine = (_MODEL_INVERSE @ (points - points.mean(axis=0))).T
    left, sizes, right = np.linalg.svd(affine, full_matrices=False)
    if sizes[1] <= 1e-6 * max(sizes[0], 1e-6):
        return None
    across, down = left @ right
    away = np.cross(across, down)
    return HeadPose(
        yaw_deg=float(np.degrees(np.arcsin(np.clip(away[0], -1.0, 1.0)))),
        pitch_deg=float(np.degrees(np.arctan2(-away[1], away[2]))),
        roll_deg=float(np.degrees(np.arctan2(down[0], across[0]))),
    )
