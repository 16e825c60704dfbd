"""Faces found by size, and tight portraits found exactly once, on the development data: `make bench`."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from deepfakestream.faces.boxes import longer_side

NUM_PEOPLE = 150
MIN_SCORE = 0.8
FRAME_HW = (1080, 1920)


def confident(faces):
    return [face for face in faces if face.score >= MIN_SCORE]


def on_frame(rgb, zoom):
    frame = np.full((*FRAME_HW, 3), 120, dtype=np.uint8)
    small = cv2.resize(rgb, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    frame[100 : 100 + small.shape[0], 300 : 300 + small.shape[1]] = small
    return frame


def show(text):
    sys.stdout.write(text + "\n")


@pytest.mark.bench
@pytest.mark.devdata
def test_recall_by_face_size_in_1080p(devdata, detector, pictures_of):
    """Whole portraits, scaled so that the box is as high as stated, on a grey frame."""
    people = pictures_of(devdata / "portraits" / "ffhq-256.tar", count=60)
    heights_px = [longer_side(confident(faces)[0].box_xyxy) for faces in detector.detect(people)]
    show(f"\nface height in a 1920 x 1080 frame: share found (n = {len(people)})")
    shares = {}
    for side_px in (24, 36, 48, 64, 96, 128):
        frames = (
            on_frame(rgb, side_px / height_px) for rgb, height_px in zip(people, heights_px, strict=True)
        )
        looks = [(detector._detection_pass([frame], 640)[0], detector.detect([frame])[0]) for frame in frames]
        one, all_looks = (sum(bool(confident(look[i])) for look in looks) / len(people) for i in (0, 1))
        shares[side_px] = all_looks
        show(f"{side_px:4} px: one look {one:.2f}, all looks {all_looks:.2f}")
    assert shares[96] > 0.85


@pytest.mark.bench
@pytest.mark.devdata
@pytest.mark.parametrize("zoom", [1, 3])
def test_tight_portraits_are_found_once(devdata, detector, pictures_of, zoom):
    crops = [
        cv2.resize(rgb, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
        for rgb in pictures_of(devdata / "dfdc-faces" / "val-09.tar", count=NUM_PEOPLE)
    ]
    looks = {
        "one look": [detector._look([rgb], 640)[0] for rgb in crops],
        "all looks": [detector.detect([rgb])[0] for rgb in crops],
    }
    show(f"\nface crops of {crops[0].shape[0]} pixels (n = {len(crops)})")
    for name, found in looks.items():
        counts = [len(confident(faces)) for faces in found]
        show(
            f"{name:>10}: none {counts.count(0) / len(counts):.3f}, "
            f"more than one {sum(n > 1 for n in counts) / len(counts):.3f}"
        )
    assert sum(len(confident(faces)) == 1 for faces in looks["all looks"]) / len(crops) > 0.97
