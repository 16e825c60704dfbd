"""Where the rules of faces/subjects.py come from, on the development videos: `make bench`."""

from __future__ import annotations

import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data

from deepfakestream.errors import Reason
from deepfakestream.faces.extraction import extract_faces
from deepfakestream.faces.subjects import MAX_STILL, MIN_SPAN_S, is_subject, landmark_wandering
from deepfakestream.media.reader import sample_frames

POSTER_PX = 180
MAX_SIDE_PX = 960


def show(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def videos(devdata):
    return [p for p in sorted((devdata / "videos").glob("*/*.mp4")) if p.parent.name != "unlabelled"]


def drawing(rgb):
    """Return a cartoon: few flat colours and dark outlines."""
    flat = cv2.bilateralFilter(cv2.bilateralFilter(rgb, 9, 50, 9), 9, 50, 9) // 32 * 32 + 16
    grey = cv2.medianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 5)
    lines = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 4)
    return flat & lines[..., None]


def with_poster(path, picture, budget, *, shake):
    """Yield 16 frames with a wall next to them on which the picture hangs; `shake` moves the camera."""
    rng = np.random.default_rng(0)
    poster = cv2.resize(picture, (POSTER_PX, POSTER_PX), interpolation=cv2.INTER_AREA)
    for frame in sample_frames(path, num_frames=16, budget=budget).frames:
        height, width = frame.rgb.shape[:2]
        zoom = MAX_SIDE_PX / max(height, width)
        hw = round(height * zoom) // 2 * 2, round(width * zoom) // 2 * 2
        canvas = np.full((hw[0], hw[1] + POSTER_PX + 40, 3), 110, np.uint8)
        canvas[:, : hw[1]] = cv2.resize(frame.rgb, hw[::-1], interpolation=cv2.INTER_AREA)
        canvas[60 : 60 + POSTER_PX, hw[1] + 20 : hw[1] + 20 + POSTER_PX] = poster
        if shake:
            move = cv2.getRotationMatrix2D(
                (hw[1] / 2, hw[0] / 2), 1.5 * rng.normal(), 1 + 0.02 * rng.normal()
            )
            move[:, 2] += 6 * rng.normal(size=2)
            canvas = cv2.warpAffine(canvas, move, canvas.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
        yield canvas, hw[1]


@pytest.mark.bench
@pytest.mark.devdata
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("kind", "render", "shake"),
    [("photo", lambda rgb: rgb, False), ("drawing", drawing, False), ("photo", lambda rgb: rgb, True)],
    ids=["photo", "drawing", "moving camera"],
)
def test_posters_beside_people(
    devdata, encode_clip, tmp_path, detector, extraction_spec, budget, kind, render, shake
):
    picture = render(np.ascontiguousarray(skimage.data.astronaut()[:256, 96:352]))
    spec = replace(extraction_spec, num_frames=16)
    seen = left_out = lost = 0
    for path in videos(devdata)[::3]:
        pictures, walls = zip(*with_poster(path, picture, budget, shake=shake), strict=True)
        clip = encode_clip(tmp_path / path.name, pictures, fps=2, options={"crf": "28"})
        faces = extract_faces(clip, detector, spec, budget)
        next_to_walls = [crop.box_xyxy[0] > walls[0] - 20 for crop in faces.crops]
        left_out += not any(next_to_walls) and Reason.PICTURE_OF_FACE in faces.notes
        seen += any(next_to_walls) or Reason.PICTURE_OF_FACE in faces.notes
        lost += all(next_to_walls)
    camera = "moving" if shake else "fixed"
    show(f"\n{kind}, {camera} camera: left out {left_out} of {seen}, people lost {lost}")
    assert lost == 0


@pytest.mark.bench
@pytest.mark.devdata
@pytest.mark.timeout(1800)
def test_people_wander_and_stay_subjects(devdata, detector, extraction_spec, budget):
    spec = replace(extraction_spec, num_frames=20)
    windows, tracks, crops_dropped, num_crops, noted = [], 0, 0, 0, 0
    for path in videos(devdata):
        faces = extract_faces(path, detector, spec, budget)
        noted += Reason.PICTURE_OF_FACE in faces.notes
        ids = np.array([crop.track_id for crop in faces.crops])
        chosen = is_subject(["file"] * len(ids), ids, [crop.face_px for crop in faces.crops])
        tracks, num_crops = tracks + len(set(ids)), num_crops + len(ids)
        crops_dropped += int((~chosen).sum())
        longest = [crop for crop in faces.crops if crop.track_id == np.bincount(ids).argmax()]
        assert chosen[ids == longest[0].track_id].all(), "the subject"
        start = longest[0].time_s
        while (part := [c for c in longest if start <= c.time_s <= start + MIN_SPAN_S]) and len(part) > 4:
            windows.append(landmark_wandering(part))
            start += MIN_SPAN_S / 2
    show(
        f"\n{tracks} tracks, {num_crops} crops; of no subject {crops_dropped} crops; posters noted {noted}"
        f"\nwandering of {len(windows)} windows of {MIN_SPAN_S:.0f} s: least {min(windows):.4f}, "
        f"5 % {np.quantile(windows, 0.05):.4f}, median {np.median(windows):.4f}; still is up to {MAX_STILL}"
    )
    assert noted == 0
    assert min(windows) > MAX_STILL
