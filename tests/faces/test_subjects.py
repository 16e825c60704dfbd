"""Posters do not become people, passers-by do not carry labels, and people are not lost."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from deepfakestream.errors import Reason
from deepfakestream.faces.extraction import extract_faces
from deepfakestream.faces.pose import head_pose
from deepfakestream.faces.subjects import is_subject, landmark_wandering, pictures_of_faces
from deepfakestream.faces.types import FaceCrop

POINTS = np.array([(30, 40), (70, 40), (50, 60), (35, 80), (65, 80)], dtype=np.float32)
STILL, ALIVE = 0.002, 0.05


def track(track_id, wandering, *, frames=8, span_s=7.0, odd_frames=0):
    """Return crops of a 100 pixel face whose landmarks wander by a share of its size."""
    noise = np.random.default_rng(track_id).normal(size=(frames, 5, 2))
    noise *= wandering * 100 / np.sqrt((noise**2).sum(axis=2).mean(axis=1))[:, None, None]
    noise[:odd_frames] += 40
    landmarks = (POINTS + noise).astype(np.float32)
    return [
        FaceCrop(
            rgb=np.zeros((8, 8, 3), np.uint8),
            frame_index=i,
            time_s=i * span_s / (frames - 1),
            track_id=track_id,
            box_xyxy=(0, 0, 100, 120),
            landmarks_xy=landmarks[i],
            score=0.99,
            face_px=100.0,
            sharpness=10.0,
            luma=120.0,
            pose=head_pose(landmarks[i]),
        )
        for i in range(frames)
    ]


@pytest.mark.parametrize(
    ("tracks", "pictures"),
    [
        ([], set()),
        ([track(0, STILL)], set()),
        ([track(0, STILL), track(1, STILL)], set()),
        ([track(0, ALIVE), track(1, ALIVE)], set()),
        ([track(0, ALIVE), track(1, STILL)], {1}),
        ([track(0, STILL), track(1, ALIVE), track(2, STILL)], {0, 2}),
        ([track(0, ALIVE), track(1, STILL, odd_frames=2)], {1}),
        ([track(0, ALIVE), track(1, STILL, odd_frames=3)], set()),
        ([track(0, ALIVE), track(1, STILL, span_s=3.9)], set()),
        ([track(0, ALIVE), track(1, STILL, frames=4)], set()),
        ([track(0, ALIVE, frames=2), track(1, STILL)], set()),
    ],
    ids=[
        "nobody",
        "a clip of a photo",
        "two photos",
        "two people",
        "a person and a poster",
        "a person and two posters",
        "a poster found badly in a quarter of the frames",
        "somebody who moved now and then",
        "too short to tell",
        "too few frames to tell",
        "a passer-by before a photo",
    ],
)
def test_pictures_of_faces(tracks, pictures):
    crops = [crop for each in tracks for crop in each]
    assert pictures_of_faces(crops) == pictures
    assert pictures_of_faces(sorted(crops, key=lambda crop: crop.time_s)) == pictures


def test_wandering_is_measured_in_faces():
    assert landmark_wandering(track(3, 0.05, frames=50)) == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize(
    ("faces", "subjects"),
    [
        ([], []),
        ([("a", 0, 50)], [True]),
        ([("a", 0, 100), ("a", 1, 50)], [True, True]),
        ([("a", 0, 100), ("a", 1, 49)], [True, False]),
        ([*[("a", 0, 100)] * 8, ("a", 1, 100)], [*[True] * 8, False]),
        ([("a", 0, 100), ("b", 0, 20), ("a", 1, 40), ("b", 1, 15)], [True, True, False, True]),
    ],
    ids=["none", "one", "half as large", "less than half", "a passer-by", "each file for itself"],
)
def test_subjects(faces, subjects):
    media_ids, track_ids, face_px = zip(*faces, strict=True) if faces else ((), (), ())
    assert is_subject(media_ids, track_ids, face_px).tolist() == subjects


def drawing(rgb):
    """Return a cartoon: few flat colours and dark outlines."""
    flat = cv2.bilateralFilter(cv2.bilateralFilter(rgb, 9, 50, 9), 9, 50, 9) // 32 * 32 + 16
    grey = cv2.medianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 5)
    lines = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 4)
    return flat & lines[..., None]


def scene(hanging, *, passer_by=None, frames=20):
    """Yield a person whose head moves and turns, a picture on the wall, and somebody who walks past."""
    head = hanging.copy()
    for i in range(frames):
        canvas = np.full((300, 700, 3), 110, np.uint8)
        sway = cv2.getRotationMatrix2D((110, 120), 8 * np.sin(i), 1 + 0.04 * np.cos(2 * i))
        sway[:, 2] += 10 * np.sin(1.7 * i), 6 * np.cos(i)
        canvas[20:276, :256] = cv2.warpAffine(head, sway, (256, 256), borderValue=(110, 110, 110))
        canvas[40:232, 500:692] = cv2.resize(passer_by[1], (192, 192)) if passer_by else 110
        if passer_by and i not in passer_by[0]:
            canvas[40:232, 500:692] = 110
        yield canvas


@pytest.fixture(scope="module")
def portrait(astronaut):
    return np.ascontiguousarray(astronaut[:256, 96:352])


def clip(encode_clip, folder, pictures):
    return encode_clip(folder / "clip.mp4", list(pictures), fps=4, options={"crf": "28"})


@pytest.mark.parametrize("render", [lambda rgb: rgb, drawing], ids=["a poster", "a drawing"])
def test_a_picture_on_the_wall_is_left_out(
    encode_clip, tmp_path, detector, extraction_spec, budget, portrait, sample_media, render
):
    wall = render(np.ascontiguousarray(portrait[:, ::-1]))
    path = clip(encode_clip, tmp_path, scene(portrait, passer_by=(range(20), wall)))
    faces = extract_faces(path, detector, extraction_spec, budget)
    assert faces.notes == (Reason.PICTURE_OF_FACE,)
    assert {crop.track_id for crop in faces.crops} == {0}
    assert max(crop.box_xyxy[2] for crop in faces.crops) < 300
    assert len(faces.crops) == faces.num_frames


def test_a_passer_by_is_tracked_but_no_subject(
    encode_clip, tmp_path, detector, extraction_spec, budget, portrait
):
    path = clip(encode_clip, tmp_path, scene(portrait, passer_by=(range(5, 8), portrait)))
    faces = extract_faces(path, detector, extraction_spec, budget)
    chosen = is_subject(
        ["file"] * len(faces.crops), [c.track_id for c in faces.crops], [c.face_px for c in faces.crops]
    )
    passing = np.array([crop.box_xyxy[0] > 400 for crop in faces.crops])
    assert passing.any()
    assert (chosen == ~passing).all()


def test_a_clip_of_a_photo_keeps_its_face(encode_clip, tmp_path, detector, extraction_spec, budget, portrait):
    faces = extract_faces(clip(encode_clip, tmp_path, [portrait] * 20), detector, extraction_spec, budget)
    assert faces.notes == ()
    assert len(faces.crops) == faces.num_frames
