"""Crops of faces that nobody had to find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from deepfakestream.faces.types import FaceCrop
from deepfakestream.media.types import RGBImage


def face_crop(rgb: RGBImage, **fields: Any) -> FaceCrop:
    """Return a crop of the first frame, found with certainty; `fields` replace what it says by default."""
    height, width = rgb.shape[:2]
    crop = FaceCrop(
        rgb=rgb,
        frame_index=0,
        time_s=0.0,
        track_id=0,
        box_xyxy=(0, 0, width, height),
        landmarks_xy=np.zeros((5, 2), np.float32),
        score=1.0,
        face_px=float(min(width, height)),
        sharpness=1.0,
        luma=1.0,
        pose=None,
    )
    return replace(crop, **fields)
