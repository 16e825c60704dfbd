from __future__ import annotations

import numpy as np
import pytest

from deepfakestream.faces.tracking import MAX_GAP_FRAMES, assign_tracks, likeness
from deepfakestream.faces.types import Detection


def face(x, y=100, side=100):
    return Detection(
        box_xyxy=(x, y, x + side, y + side), landmarks_xy=np.zeros((5, 2), dtype=np.float32), score=0.99
    )


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([], []),
        ([[], []], [[], []]),
        ([[face(0)], [face(5)], [face(10)]], [[0], [0], [0]]),
        ([[face(0)], [face(80)]], [[0], [0]]),
        ([[face(0)], [face(150)]], [[0], [1]]),
        ([[face(0)], [face(0, side=200)]], [[0], [1]]),
        ([[face(0), face(300)], [face(310), face(10)]], [[0, 1], [1, 0]]),
        ([[face(0)], [face(5), face(8)]], [[0], [0, 1]]),
        ([[face(0)], [face(0), face(250)], [face(0)]], [[0], [0, 1], [0]]),
        ([[face(0)], [face(130)], [face(0)]], [[0], [1], [0]]),
        ([[face(0)], *[[]] * MAX_GAP_FRAMES, [face(0)]], [[0], *[[]] * MAX_GAP_FRAMES, [0]]),
        ([[face(0)], *[[]] * (MAX_GAP_FRAMES + 1), [face(0)]], [[0], *[[]] * (MAX_GAP_FRAMES + 1), [1]]),
    ],
    ids=[
        "no frames",
        "no faces",
        "one person",
        "a quick move",
        "too far",
        "other size",
        "order does not matter",
        "two near faces are two people",
        "a passer-by has a track of their own",
        "a passer-by while the person is hidden",
        "a short absence",
        "a long absence",
    ],
)
def test_tracks(frames, expected):
    assert assign_tracks(frames) == expected


def test_nearest_face_continues_the_track_whatever_its_rank():
    assert assign_tracks([[face(0)], [face(60), face(2)]]) == [[0], [1, 0]]


def test_likeness_of_empty_boxes_is_none():
    assert likeness((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0
    assert likeness((0, 0, 1, 1), (0, 0, 1, 1)) == 2.0
