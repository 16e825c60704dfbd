"""The astronaut's face as a crop, and its mesh."""

from __future__ import annotations

import numpy as np
import pytest

from deepfakestream.faces.crop import crop_face
from deepfakestream.forge.mesh import FaceMesh, Points
from deepfakestream.media.types import RGBImage

BOX_XYXY = (178.0, 58.0, 273.0, 178.0)
CROP_SCALE = 1.0
SIZE_PX = 160


@pytest.fixture(scope="session")
def face(astronaut: RGBImage) -> RGBImage:
    return crop_face(astronaut, np.array(BOX_XYXY), scale=CROP_SCALE, size_px=SIZE_PX)


@pytest.fixture(scope="session")
def points(face: RGBImage) -> Points:
    found = FaceMesh().find(face, crop_scale=CROP_SCALE)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def other_face(face: RGBImage) -> RGBImage:
    """Another face to swap with: the mirrored, darker one."""
    return np.ascontiguousarray((face[:, ::-1] * 0.7).astype(np.uint8))


@pytest.fixture(scope="session")
def other_points(other_face: RGBImage) -> Points:
    found = FaceMesh().find(other_face, crop_scale=CROP_SCALE)
    assert found is not None
    return found
