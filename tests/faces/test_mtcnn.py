"""MTCNN against values of the reference implementation, and pictures that are no place for a face."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from deepfakestream.errors import WeightsError
from deepfakestream.faces.detectors import open_detector
from deepfakestream.faces.mtcnn import (
    WEIGHTS_SHA256,
    AreaSampler,
    corrected,
    inside,
    pyramid,
    squared,
    suppress_nested,
)
from deepfakestream.faces.weights_file import WEIGHTS_DIR, read_weights

# facenet-pytorch 2.6.0 (detect_face, min_face_size 20 and 1000 / 48) on the same pictures; ours agree with it
# within 0.0001 pixels and 0.000001 of score on nine pictures (docs/FACE_DETECTION.md).
ASTRONAUT = (181.05, 62.16, 267.75, 172.05)
ASTRONAUT_POINTS = [(205.01, 101.73), (246.76, 103.71), (224.67, 128.96), (201.72, 139.25), (245.27, 141.86)]
FIVE_PEOPLE = [
    (687.00, 290.41, 788.74, 421.00),
    (534.77, 305.76, 627.19, 430.44),
    (318.11, 234.16, 410.18, 358.51),
    (218.17, 61.64, 302.86, 173.26),
    (437.29, 214.92, 515.70, 308.63),
]


@pytest.fixture(scope="module")
def mtcnn():
    return open_detector("mtcnn", weights=None, device="cpu")


@pytest.fixture(scope="module")
def five_people(sample_media):
    return np.asarray(Image.open(sample_media / "multi_face.jpg").convert("RGB"))


def test_shipped_weights_are_the_expected_ones():
    for name, sha256 in WEIGHTS_SHA256.items():
        assert hashlib.sha256((WEIGHTS_DIR / name).read_bytes()).hexdigest() == sha256
    assert (WEIGHTS_DIR / "LICENSE.mtcnn").read_text().startswith("MIT License")
    assert sum((WEIGHTS_DIR / name).stat().st_size for name in WEIGHTS_SHA256) < 2.5e6


def test_astronaut(mtcnn, astronaut):
    (face,) = mtcnn.detect([astronaut])[0]
    assert face.box_xyxy == pytest.approx(ASTRONAUT, abs=0.02)
    assert face.landmarks_xy == pytest.approx(np.array(ASTRONAUT_POINTS), abs=0.02)
    assert face.landmarks_xy.dtype == np.float32
    assert face.score == pytest.approx(1.0, abs=1e-4)


def test_five_people_the_largest_first(mtcnn, five_people):
    faces = mtcnn.detect([five_people])[0]
    assert [face.box_xyxy for face in faces] == [pytest.approx(box, abs=0.02) for box in FIVE_PEOPLE]
    assert [round(face.score, 5) for face in faces] == pytest.approx(
        [1.0, 0.99978, 0.99999, 0.99996, 0.99998], abs=2e-5
    )


def test_grouping_does_not_change_what_is_found(mtcnn, astronaut, five_people):
    small = cv2.resize(astronaut, (300, 211), interpolation=cv2.INTER_AREA)
    images = [astronaut, five_people, astronaut[:, ::-1], small, astronaut, five_people[:, ::-1]]
    alone = [mtcnn.detect([image])[0] for image in images]
    for expected, found in zip(alone, mtcnn.detect(images), strict=True):
        assert len(expected) == len(found) > 0
        for a, b in zip(expected, found, strict=True):
            assert a.box_xyxy == pytest.approx(b.box_xyxy, abs=1e-2)
            assert a.score == pytest.approx(b.score, abs=1e-4)


def test_large_pictures_give_boxes_in_full_frame_pixels(mtcnn, astronaut):
    large = cv2.resize(astronaut, (2048, 2048), interpolation=cv2.INTER_CUBIC)
    (face,) = mtcnn.detect([large])[0]
    assert face.box_xyxy == pytest.approx(4 * np.array(ASTRONAUT), abs=24)
    assert face.landmarks_xy == pytest.approx(4 * np.array(ASTRONAUT_POINTS), abs=24)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3), (24, 24), (40, 3000)])
def test_tiny_and_thin_pictures_have_no_face_and_do_not_fail(mtcnn, size):
    assert mtcnn.detect([np.full((*size, 3), 128, dtype=np.uint8)]) == [[]]


def test_nothing_to_look_at(mtcnn):
    assert mtcnn.detect([]) == []


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket"])
def test_pictures_without_faces(mtcnn, name):
    assert mtcnn.detect([getattr(skimage.data, name)()]) == [[]]


def test_other_weights_are_refused(tmp_path):
    other = tmp_path / "mtcnn_pnet.onnx"
    other.write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"mtcnn_pnet\.onnx: sha256 "):
        read_weights(other, WEIGHTS_SHA256[other.name])


@pytest.mark.parametrize("hw", [(1, 1), (7, 5), (31, 90), (120, 47)])
def test_sampling_is_adaptive_average_pooling(astronaut, hw):
    view = astronaut[40:117, 10:100]
    planes = torch.from_numpy(view.transpose(2, 0, 1).astype(np.float32))
    expected = torch.nn.functional.interpolate(planes[None], size=hw, mode="area")[0].numpy()
    assert AreaSampler(view).whole(hw) == pytest.approx(expected, abs=1e-3)


def test_patches_are_parts_sampled_alone(astronaut):
    corners = np.array([(3, 5, 80, 60), (200, 100, 213, 131), (511, 511, 512, 512)])
    patches = AreaSampler(astronaut).patches(corners, 24)
    for (left, top, right, bottom), patch in zip(corners, patches, strict=True):
        assert patch == pytest.approx(
            AreaSampler(astronaut[top:bottom, left:right]).whole((24, 24)), abs=1e-3
        )


def test_pyramid_ends_at_the_first_networks_cell():
    assert pyramid(11, 500) == []
    zooms = pyramid(360, 640)
    assert zooms[0] == 12 / 20
    assert 360 * zooms[-1] >= 12 > 360 * zooms[-1] * 0.709
    assert pyramid(1080, 1920)[0] == 12 / 40


def test_boxes():
    boxes = np.array([(10, 10, 20, 30), (-5, 0, 5, 4)], dtype=np.float32)
    assert squared(boxes).tolist() == [[5, 10, 25, 30], [-5, -3, 5, 7]]
    assert corrected(boxes, np.full((2, 4), 0.5), last_pixel=0).tolist() == [[15, 20, 25, 40], [0, 2, 10, 6]]
    corners, usable = inside(np.array([(-9, 3.9, 700, 20), (600, 0, 700, 9)]), 400, 500)
    assert corners[0].tolist() == [0, 2, 500, 20]
    assert usable.tolist() == [True, False]


def test_a_small_box_in_a_large_one_is_suppressed():
    boxes = np.array([(0, 0, 100, 100), (20, 20, 50, 50), (90, 90, 140, 140)], dtype=np.float32)
    assert suppress_nested(boxes, 0.7) == [0, 2]
    assert suppress_nested(boxes[:0], 0.7) == []
