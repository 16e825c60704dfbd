"""Which way up a face lies, on real faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from deepfakestream.faces.boxes import turned_points
from deepfakestream.faces.extraction import extract_faces
from deepfakestream.faces.types import Detection
from deepfakestream.faces.upright import quarter_turns_to_upright, seen_upright


class Scripted:
    """Finds the same faces in every picture, and counts how often it is asked."""

    name, digest = "scripted", "0" * 64

    def __init__(self, *faces):
        self.faces = list(faces)
        self.num_calls = 0

    def detect(self, images):
        self.num_calls += 1
        return [self.faces for _ in images]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_turned_picture_gives_the_crop_of_the_upright_one(
    detector, extraction_spec, budget, astronaut, tmp_path, turns
):
    """A clip filmed with a turned phone gets the very same score."""
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


def on_its_head(score):
    """Where the astronaut's face is in the picture turned by half, without landmarks."""
    return Detection(box_xyxy=(239.0, 334.0, 334.0, 454.0), landmarks_xy=np.full((5, 2), np.nan), score=score)


def test_a_face_that_is_not_found_again_as_surely_stays_as_it_lies(detector, astronaut):
    turned = np.ascontiguousarray(np.rot90(astronaut, 2))
    ((found, turns),) = seen_upright(turned, [on_its_head(0.9)], detector)
    assert turns == 2
    assert found.score > 0.99
    for face, finder in ((on_its_head(0.9), Scripted()), (on_its_head(1.1), detector)):
        assert seen_upright(turned, [face], finder) == [(face, 0)]


def test_a_face_that_stands_is_not_searched_for_again(detector, astronaut):
    finder, (face,) = Scripted(), detector.detect([astronaut])[0]
    lying = replace(face, landmarks_xy=turned_points(face.landmarks_xy, 1, astronaut.shape[:2]))
    assert seen_upright(astronaut, [face, lying], finder) == [(face, 0), (lying, 0)]
    assert finder.num_calls == 0


def test_a_turned_picture_is_searched_once_and_a_face_of_it_taken_once(astronaut):
    turned = np.ascontiguousarray(np.rot90(astronaut, 2))
    upright = replace(on_its_head(0.99), box_xyxy=(178.0, 58.0, 273.0, 178.0))
    finder, face = Scripted(upright), on_its_head(0.9)
    (first, first_turns), second = seen_upright(turned, [face, face], finder)
    assert (first.box_xyxy, first.score, first_turns) == (face.box_xyxy, 0.99, 2)
    assert second == (face, 0)
    assert finder.num_calls == 1
