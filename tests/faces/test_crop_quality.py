"""The one crop: its square, its border, its resampling, and a golden digest."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from deepfakestream.faces.boxes import turned, turned_points
from deepfakestream.faces.crop import crop_face, crop_square, is_cut_off, resize_square
from deepfakestream.faces.quality import luma, sharpness
from deepfakestream.faces.types import Detection

ASTRONAUT_BOX = (177.9, 56.8, 273.1, 177.2)


@pytest.mark.parametrize(
    ("box", "scale", "shift_y", "square"),
    [
        ((10, 20, 11, 21), 0.1, 0.0, (10, 20, 1)),
        ((0, 0, 100, 100), 1.0, 0.0, (0, 0, 100)),
        ((0, 0, 100, 50), 1.0, 0.0, (0, -25, 100)),
        ((0, 0, 50, 100), 0.8, 0.05, (-15, 15, 80)),
        ((-30, -10, 70, 90), 1.5, 0.0, (-55, -35, 150)),
    ],
)
def test_square_lies_around_the_centre(box, scale, shift_y, square):
    assert crop_square(box, scale=scale, shift_y=shift_y) == square


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 5), (5, 5, 1, 1), (0, 0, float("nan"), 5), (0, 0, float("inf"), 5)]
)
def test_empty_boxes_are_refused(astronaut, box):
    with pytest.raises(ValueError, match="empty or not finite"):
        crop_face(astronaut, box, scale=1.0, size_px=16)


def test_crop_of_the_right_size_is_the_very_pixels(astronaut):
    crop = crop_face(astronaut, (100, 50, 324, 274), scale=1.0, size_px=224)
    assert np.array_equal(crop, astronaut[50:274, 100:324])
    assert crop.flags.c_contiguous


def test_a_box_that_differs_by_rounding_gives_the_same_pixels(astronaut):
    moved = tuple(value + 1e-4 for value in ASTRONAUT_BOX)
    a, b = (crop_face(astronaut, box, scale=0.8, size_px=224, shift_y=0.05) for box in (ASTRONAUT_BOX, moved))
    assert np.array_equal(a, b)


def test_what_lies_over_the_border_is_mirrored(astronaut):
    crop = crop_face(astronaut, (-20, -30, 80, 70), scale=1.0, size_px=100)
    expected = cv2.copyMakeBorder(astronaut[:70, :80], 30, 0, 20, 0, cv2.BORDER_REFLECT_101)
    assert np.array_equal(crop, expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_boxes_far_larger_than_the_picture_are_filled(size):
    picture = np.full((*size, 3), 40, dtype=np.uint8)
    assert np.array_equal(
        crop_face(picture, (-50, -50, 50, 50), scale=1.0, size_px=8), np.full((8, 8, 3), 40)
    )


def test_shrinking_averages_and_enlarging_is_cubic(astronaut):
    small = crop_face(astronaut, (0, 0, 448, 448), scale=1.0, size_px=224)
    blocks = astronaut[:448, :448].reshape(224, 2, 224, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - blocks).max() <= 0.5 + 1e-6
    large = crop_face(astronaut, (100, 100, 200, 200), scale=1.0, size_px=224)
    expected = cv2.resize(astronaut[100:200, 100:200], (224, 224), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(large, expected)


def test_golden_crop(astronaut):
    crop = crop_face(astronaut, ASTRONAUT_BOX, scale=0.8, size_px=96, shift_y=0.05)
    assert hashlib.sha256(crop.tobytes()).hexdigest()[:16] == "b3fe5dc19b0d2d2a"


def test_golden_crop_within_tolerance(astronaut):
    """For a build of OpenCV that rounds otherwise: means of a 3 x 3 grid."""
    crop = crop_face(astronaut, ASTRONAUT_BOX, scale=0.8, size_px=224, shift_y=0.05).astype(float)
    grid = cv2.resize(crop.mean(axis=2), (3, 3), interpolation=cv2.INTER_AREA)
    assert grid == pytest.approx(
        np.array([[139.6, 169.8, 83.7], [186.0, 170.6, 147.5], [157.1, 179.9, 171.7]]), abs=0.5
    )


def test_squeezing(astronaut):
    assert resize_square(astronaut[:100], 50).shape == (50, 50, 3)
    assert np.array_equal(resize_square(astronaut, 512), astronaut)


def test_sharpness_falls_with_blur_and_luma_is_bt601(astronaut):
    blurred = cv2.GaussianBlur(astronaut, (0, 0), 3)
    assert sharpness(astronaut) > 5 * sharpness(blurred) > 0
    assert sharpness(np.full((9, 9, 3), 7, np.uint8)) == 0
    assert luma(np.full((4, 4, 3), 255, np.uint8)) == 255
    assert luma(np.tile(np.array([255, 0, 0], np.uint8), (4, 4, 1))) == pytest.approx(76, abs=0.5)


def upright_face(x, y, side):
    """A face with the usual proportions, its box from (x, y) on."""
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    return Detection(
        box_xyxy=(x, y, x + side, y + side),
        landmarks_xy=np.array([(x + side * a, y + side * b) for a, b in points], dtype=np.float32),
        score=0.99,
    )


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (50, 50, False),
        (0, 0, False),
        (100, 100, False),
        (-20, 50, False),
        (-31, 50, True),
        (120, 50, False),
        (131, 50, True),
        (50, -25, False),
        (50, -29, True),
        (50, 115, False),
        (50, 121, True),
        (-500, 50, True),
    ],
    ids=[
        *("inside", "corner", "other corner", "cheek", "eye left", "cheek right", "eye right"),
        *("hair", "forehead", "chin", "mouth", "far outside"),
    ],
)
@pytest.mark.parametrize("turns", range(4))
def test_a_face_is_cut_off_where_what_makes_it_one_is_outside(x, y, expected, turns):
    face = upright_face(x, y, 100)
    hw = (200, 200)
    lying = Detection(
        box_xyxy=turned(face.box_xyxy, turns, hw),
        landmarks_xy=turned_points(face.landmarks_xy, turns, hw),
        score=face.score,
    )
    assert is_cut_off(lying, hw) is expected


def test_a_face_without_landmarks_is_not_cut_off():
    face = Detection(box_xyxy=(0, 0, 9, 9), landmarks_xy=np.full((5, 2), np.nan, dtype=np.float32), score=1.0)
    assert not is_cut_off(face, (9, 9))
    assert is_cut_off(replace(face, landmarks_xy=np.zeros((5, 2), np.float32)), (9, 9))
