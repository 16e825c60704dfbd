"""Golden detections on real faces, and pictures that are no place for a face."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from deepfakestream.errors import WeightsError
from deepfakestream.faces.boxes import longer_side
from deepfakestream.faces.retinaface import ALGORITHM
from deepfakestream.faces.retinaface_mnet025 import WEIGHTS_FILE, WEIGHTS_SHA256, open_mnet025
from deepfakestream.faces.weights_file import detector_digest

MULTI_FACE_BOXES = [
    (316, 233, 414, 362),
    (687, 293, 792, 421),
    (530, 309, 628, 435),
    (214, 65, 309, 178),
    (435, 218, 517, 316),
]


@pytest.fixture(scope="module")
def five_people(sample_media):
    return np.asarray(Image.open(sample_media / "multi_face.jpg").convert("RGB"))


def test_shipped_weights_are_the_expected_ones(detector):
    assert hashlib.sha256(WEIGHTS_FILE.read_bytes()).hexdigest() == WEIGHTS_SHA256
    assert detector.digest == detector_digest(WEIGHTS_SHA256, ALGORITHM)
    assert (WEIGHTS_FILE.parent / "LICENSE.retinaface_mnet025").read_text().startswith("MIT License")


def test_astronaut(detector, astronaut):
    (face,) = detector.detect([astronaut])[0]
    assert face.box_xyxy == pytest.approx((177.9, 56.8, 273.1, 177.2), abs=0.5)
    assert face.score == pytest.approx(0.9995, abs=1e-3)
    expected = [(204.8, 100.8), (247.4, 103.4), (223.6, 129.2), (202.5, 138.1), (244.2, 140.6)]
    assert face.landmarks_xy == pytest.approx(np.array(expected), abs=0.5)
    assert face.landmarks_xy.dtype == np.float32


def test_five_people_the_largest_first(detector, five_people):
    faces = detector.detect([five_people])[0]
    assert [face.box_xyxy for face in faces] == [pytest.approx(box, abs=1.5) for box in MULTI_FACE_BOXES]
    assert min(face.score for face in faces) > 0.99
    sizes = [longer_side(face.box_xyxy) for face in faces]
    assert sizes == sorted(sizes, reverse=True)


def test_grouping_does_not_change_what_is_found(detector, astronaut, five_people):
    small = cv2.resize(astronaut, (300, 211), interpolation=cv2.INTER_AREA)
    images = [astronaut, five_people, astronaut[:, ::-1], small, astronaut, five_people[:, ::-1]]
    together = detector.detect(images)
    for alone, found in zip([detector.detect([image])[0] for image in images], together, strict=True):
        assert len(alone) == len(found) > 0
        for a, b in zip(alone, found, strict=True):
            assert a.box_xyxy == pytest.approx(b.box_xyxy, abs=1e-3)
            assert a.score == pytest.approx(b.score, abs=1e-5)
            assert a.landmarks_xy == pytest.approx(b.landmarks_xy, abs=1e-3)


@pytest.mark.parametrize("small_px", [56, 64, 68, 72])
def test_somebody_small_beside_a_close_up_is_seen_as_without_it(detector, astronaut, small_px):
    """The coarse look, which a close-up asks for, sees small faces badly: it must not have the last word."""
    head = astronaut[20:240, 120:340]
    picture = np.full((640, 640, 3), 90, dtype=np.uint8)
    picture[:620, :500] = cv2.resize(head, (620, 620), interpolation=cv2.INTER_CUBIC)[:, 120:]
    side_px = 2 * small_px
    picture[30 : 30 + side_px, -side_px:] = cv2.resize(head, (side_px, side_px), interpolation=cv2.INTER_AREA)
    large, small = detector.detect([picture])[0]
    assert longer_side(large.box_xyxy) > 320
    assert small.score > 0.95


@pytest.mark.parametrize("size", [(211, 300), (333, 227), (1080, 1920), (2160, 3840), (513, 511)])
def test_odd_sizes_give_boxes_in_full_frame_pixels(detector, astronaut, size):
    height, width = size
    zoom = min(size) / 256
    view = cv2.resize(astronaut[:256, 96:352], (min(size), min(size)), interpolation=cv2.INTER_AREA)
    picture = np.full((height, width, 3), 90, dtype=np.uint8)
    picture[: min(size), : min(size)] = view
    (face,) = (face for face in detector.detect([picture])[0] if face.score > 0.8)
    expected = np.array([81.9, 56.8, 177.1, 177.2]) * zoom
    assert np.abs(np.array(face.box_xyxy) - expected).max() < 0.1 * 120 * zoom


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3), (24, 24)])
def test_tiny_pictures_have_no_face_and_do_not_fail(detector, size):
    assert detector.detect([np.full((*size, 3), 128, dtype=np.uint8)]) == [[]]


def test_nothing_to_look_at(detector):
    assert detector.detect([]) == []


@pytest.mark.parametrize("name", ["coffee", "rocket"])
def test_pictures_without_faces(detector, name):
    faces = detector.detect([getattr(skimage.data, name)()])[0]
    assert [face for face in faces if face.score >= 0.8] == []


@pytest.mark.parametrize("long_side", [224, 640, 1500])
def test_a_face_that_fills_the_picture_is_found_once(detector, astronaut, long_side):
    tight = cv2.resize(astronaut[63:183, 170:290], (long_side, long_side), interpolation=cv2.INTER_CUBIC)
    faces = [face for face in detector.detect([tight])[0] if face.score >= 0.8]
    assert len(faces) == 1
    assert longer_side(faces[0].box_xyxy) > 0.7 * long_side


def test_a_small_face_in_a_large_frame_is_found(detector, astronaut):
    frame = np.full((1080, 1920, 3), 120, dtype=np.uint8)
    frame[400:656, 900:1156] = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    assert [face for face in detector._detection_pass([frame], 640)[0] if face.score >= 0.8] == []
    (face,) = detector.detect([frame])[0]
    assert face.box_xyxy == pytest.approx((989, 428, 1037, 489), abs=4)


def test_other_weights_are_refused(tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"other\.onnx: sha256 "):
        open_mnet025(other)
    with pytest.raises(WeightsError, match="cannot be read"):
        open_mnet025(tmp_path / "none.onnx")
