"""Which way up a face lies, on real faces."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from deepfakestream.faces.boxes import turned_points
from deepfakestream.faces.extraction import extract_faces
from deepfakestream.faces.types import Detection
from deepfakestream.faces.upright import quarter_turns_to_upright, seen_upright


class Blind:
    """Finds no face in any picture."""

    name, digest = "blind", "0" * 64

    def detect(self, images):
        return [[] for _ in images]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_turned_picture_gives_the_crop_of_the_upright_one(
    detector, extraction_spec, budget, astronaut, tmp_path, turns
):
    """Whoever filmed with a turned phone gets the very same score."""
    path = tmp_path / "turned.png"
    Image.fromarray(np.rot90(astronaut, -turns)).save(path)
    upright, turned = tmp_path / "upright.png", path
    Image.fromarray(astronaut).save(upright)
    (expected,), (crop,) = (
        extract_faces(each, detector, extraction_spec, budget).crops for each in (upright, turned)
    )
    assert np.array_equal(crop.rgb, expected.rgb)
    assert crop.score == expected.score
    assert crop.pose.quarter_turns == turns
    assert crop.pose.yaw_deg == pytest.approx(expected.pose.yaw_deg, abs=0.5)
    corners_xy = turned_points(
        np.reshape(crop.box_xyxy, (2, 2)), turns, np.rot90(astronaut, -turns).shape[:2]
    )
    assert sorted(corners_xy[:, 0]) == pytest.approx([expected.box_xyxy[0], expected.box_xyxy[2]], abs=0.01)


@pytest.mark.parametrize("assumed", [0, 1, 2, 3])
def test_where_no_turn_is_better_the_assumed_one_stays(assumed):
    noise = np.random.default_rng(3).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert quarter_turns_to_upright(noise, (20.0, 20.0, 180.0, 180.0), assumed=assumed) == assumed


@pytest.mark.parametrize("assumed", [0, 1, 3])
def test_landmarks_of_a_face_on_its_head_are_overruled(detector, astronaut, assumed):
    turned = np.ascontiguousarray(np.rot90(astronaut, 2))
    (face,) = detector.detect([turned])[0]
    assert quarter_turns_to_upright(turned, face.box_xyxy, assumed=assumed) == 2


def test_a_face_that_is_not_found_again_keeps_its_place(astronaut):
    turned = np.ascontiguousarray(np.rot90(astronaut, 2))
    face = Detection(box_xyxy=(234.0, 335.0, 339.0, 455.0), landmarks_xy=np.zeros((5, 2)), score=0.9)
    assert seen_upright(turned, face, Blind()) == (face, 2)
