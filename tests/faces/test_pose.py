"""The pose of heads: known rotations of the model, noise, and real faces."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from deepfakestream.faces.pose import FACE_MODEL_MM, head_pose

ANGLES_DEG = [(0, 0, 0), (30, 0, 0), (-30, 0, 0), (0, 25, 0), (0, -25, 0), (0, 0, 170), (60, -20, 40)]


def seen(yaw_deg, pitch_deg, roll_deg, *, distance_mm=None):
    """Return landmarks of the turned model, from afar or by a camera at a distance."""
    down, right, clockwise = np.radians([-pitch_deg, yaw_deg, roll_deg])
    turn_x, turn_y, turn_z = (
        cv2.Rodrigues(np.array(axis, dtype=np.float64))[0]
        for axis in ([down, 0, 0], [0, -right, 0], [0, 0, clockwise])
    )
    points = FACE_MODEL_MM @ (turn_z @ turn_y @ turn_x).T
    zoom = 1.0 if distance_mm is None else distance_mm / (distance_mm + points[:, 2:])
    return 2.5 * zoom * points[:, :2] + (300, 200)


def angles(pose):
    return pose.yaw_deg, pose.pitch_deg, pose.roll_deg


@pytest.mark.parametrize("expected", ANGLES_DEG)
def test_known_rotations_come_back(expected):
    assert angles(head_pose(seen(*expected))) == pytest.approx(expected, abs=1e-4)


def test_signs_are_as_documented():
    nose = 2
    assert seen(30, 0, 0)[nose, 0] > seen(0, 0, 0)[nose, 0], "turned to the right of the picture"
    assert seen(0, 30, 0)[nose, 1] < seen(0, 0, 0)[nose, 1], "looking up"
    left_eye, right_eye = seen(0, 0, 30)[:2]
    assert right_eye[1] > left_eye[1], "clockwise"


@pytest.mark.parametrize("expected", ANGLES_DEG)
def test_a_near_camera_costs_a_few_degrees(expected):
    assert angles(head_pose(seen(*expected, distance_mm=600))) == pytest.approx(expected, abs=6)


def test_noise_of_a_detector_costs_a_few_degrees():
    noise = np.random.default_rng(0).normal(scale=0.02 * 63 * 2.5, size=(500, 5, 2))
    errors = [abs(head_pose(seen(20, 0, 0) + offsets).yaw_deg - 20) for offsets in noise]
    assert np.median(errors) < 4


@pytest.mark.parametrize(
    "landmarks",
    [
        np.full((5, 2), np.nan),
        np.zeros((5, 2)),
        np.tile([[3.0, 4.0]], (5, 1)),
        np.c_[np.arange(5.0), np.zeros(5)],
    ],
    ids=["unknown", "zeros", "one point", "a line"],
)
def test_no_pose_without_a_face(landmarks):
    assert head_pose(landmarks) is None


def test_real_face_mirrored_and_tilted(astronaut, detector):
    upright = head_pose(detector.detect([astronaut])[0][0].landmarks_xy)
    mirrored = head_pose(detector.detect([np.ascontiguousarray(astronaut[:, ::-1])])[0][0].landmarks_xy)
    turn = cv2.getRotationMatrix2D((226, 118), -15, 1.0)
    tilted = head_pose(detector.detect([cv2.warpAffine(astronaut, turn, (512, 512))])[0][0].landmarks_xy)
    assert abs(upright.yaw_deg) < 25
    assert mirrored.yaw_deg == pytest.approx(-upright.yaw_deg, abs=6)
    assert mirrored.roll_deg == pytest.approx(-upright.roll_deg, abs=4)
    assert tilted.roll_deg - upright.roll_deg == pytest.approx(15, abs=4)
