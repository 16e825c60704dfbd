"""Geometry, priors and suppression, edge rows first."""

from __future__ import annotations

import numpy as np
import pytest

from deepfakestream.faces import boxes
from deepfakestream.faces.boxes import suppress
from deepfakestream.faces.retinaface import NMS_IOU, decode_boxes, decode_landmarks, priors
from deepfakestream.faces.working_size import batches, input_hw


@pytest.mark.parametrize(
    ("a", "b", "iou", "inside"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0), 0.0, 0.0),
        ((5, 5, 1, 1), (0, 0, 9, 9), 0.0, 0.0),
        ((0, 0, 2, 2), (4, 4, 6, 6), 0.0, 0.0),
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0, 1.0),
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3, 0.5),
        ((1, 1, 2, 2), (0, 0, 4, 4), 1 / 16, 1.0),
    ],
    ids=["both empty", "inverted", "apart", "same", "half", "nested"],
)
def test_overlap(a, b, iou, inside):
    assert boxes.iou(a, b) == pytest.approx(iou)
    assert boxes.share_inside(a, b) == pytest.approx(inside)


def test_priors_equal_those_of_the_library():
    prior_box = pytest.importorskip("retinaface.prior_box")
    height, width = 101, 67
    theirs = prior_box.priorbox(
        min_sizes=[[16, 32], [64, 128], [256, 512]], steps=[8, 16, 32], clip=False, image_size=(height, width)
    ).numpy()
    ours = priors(height, width)
    assert ours[:, :2] == pytest.approx(theirs[:, :2] * [width, height], abs=1e-3)
    assert ours[:, 2] == pytest.approx(theirs[:, 2] * width, abs=1e-3)


def test_zero_offsets_decode_to_the_prior():
    prior = np.array([[10.0, 20.0, 16.0]], dtype=np.float32)
    assert decode_boxes(np.zeros((1, 4), np.float32), prior).tolist() == [[2, 12, 18, 28]]
    assert decode_landmarks(np.zeros((1, 10), np.float32), prior).tolist() == [[[10, 20]] * 5]


def test_offsets_move_and_scale_with_the_variances():
    prior = np.array([[10.0, 20.0, 16.0]], dtype=np.float32)
    loc = np.array([[1.0, -1.0, 5.0, 0.0]], dtype=np.float32)
    centre_x, centre_y, width = 10 + 1.6, 20 - 1.6, 16 * np.e
    expected = [centre_x - width / 2, centre_y - 8, centre_x + width / 2, centre_y + 8]
    assert decode_boxes(loc, prior)[0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (np.empty((0, 4)), []),
        ([[0, 0, 2, 2]], [0]),
        ([[0, 0, 2, 2], [0, 0, 2, 2.1]], [0]),
        ([[0, 0, 2, 2], [5, 5, 7, 7], [5, 5, 7, 7]], [0, 1]),
    ],
)
def test_suppression_keeps_the_first_of_each_pile(found, kept):
    assert suppress(np.array(found, dtype=np.float32), NMS_IOU) == kept


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), (160, 160)),
        ((24, 24), (160, 160)),
        ((200, 300), (200, 300)),
        ((1080, 1920), (360, 640)),
        ((1920, 1080), (640, 360)),
        ((4, 4000), (32, 640)),
    ],
)
def test_input_size_is_bounded(size, expected):
    assert input_hw(*size, 640) == expected


def test_batches_group_pictures_of_one_input_size_and_bound_memory():
    images = [np.zeros((360, 640, 3), np.uint8)] * 9 + [
        np.zeros((720, 1280, 3), np.uint8),
        np.zeros((9, 9, 3), np.uint8),
    ]
    found = [(positions, stacked.shape) for positions, stacked in batches(images, 640)]
    assert found == [
        ([0, 1, 2, 3, 4, 5, 6], (7, 360, 640, 3)),
        ([7, 8, 9], (3, 360, 640, 3)),
        ([10], (1, 160, 160, 3)),
    ]
