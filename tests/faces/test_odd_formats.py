"""All 50 files of the optional development data's odd-formats through reading and extraction."""

from __future__ import annotations

import time

import numpy as np
import pytest
from media_info import info_of

from deepfakestream.errors import MediaError, Reason
from deepfakestream.faces.extraction import extract_faces
from deepfakestream.media.find import find_media

MAX_S = 20.0
REFUSED = {
    "audio_only.mp4": Reason.NO_VIDEO_STREAM,
    "empty.mp4": Reason.EMPTY_FILE,
    "empty.png": Reason.EMPTY_FILE,
    "random_bytes.mp4": Reason.UNSUPPORTED_FORMAT,
    "text_named.mp4": Reason.UNSUPPORTED_FORMAT,
    "truncated_half.mp4": Reason.TRUNCATED,
    "truncated_head_missing.mp4": Reason.UNSUPPORTED_FORMAT,
}
NOTES = {
    "bitflips.mp4": (Reason.TRUNCATED,),
    "truncated_half.mkv": (Reason.TRUNCATED,),
    "truncated.jpg": (Reason.NO_FACE, Reason.TRUNCATED),
    "black.mp4": (Reason.NO_FACE,),
    "gray_noface_noise.mp4": (Reason.NO_FACE,),
    "tiny24.png": (Reason.FACE_TOO_SMALL,),
    "tiny_64.mp4": (Reason.FACE_TOO_SMALL,),
}
WITHOUT_FACE = {"truncated.jpg", "black.mp4", "gray_noface_noise.mp4", "tiny24.png", "tiny_64.mp4"}


def outcome(path, detector, spec, budget):
    """Return the reason of a refusal, or the notes and whether there are crops."""
    try:
        info_of(path, budget)
        faces = extract_faces(path, detector, spec, budget)
    except MediaError as error:
        return error.reason
    return faces.notes, bool(faces.crops)


@pytest.mark.devdata
@pytest.mark.slow
def test_every_odd_file_ends_with_faces_or_a_reason(devdata, detector, extraction_spec, budget):
    paths = find_media([devdata / "odd-formats"])
    assert len(paths) == 50
    for path in paths:
        start = time.monotonic()
        found = outcome(path, detector, extraction_spec, budget)
        assert time.monotonic() - start < MAX_S, path.name
        expected = (NOTES.get(path.name, ()), path.name not in WITHOUT_FACE)
        assert found == REFUSED.get(path.name, expected), path.name


@pytest.mark.devdata
@pytest.mark.parametrize(
    ("name", "turns"), [("h264_ref.mp4", 0), ("upside_down.mp4", 2), ("rotated90_pixels.mp4", 3)]
)
def test_faces_of_a_turned_clip_stand(devdata, detector, extraction_spec, budget, name, turns):
    """One clip, turned before it was encoded again: the same faces, but for the coding."""
    crops, expected = (
        extract_faces(devdata / "odd-formats" / each, detector, extraction_spec, budget).crops
        for each in (name, "h264_ref.mp4")
    )
    assert len(crops) == len(expected) == 8
    assert {crop.pose.quarter_turns for crop in crops} == {turns}
    for crop, reference in zip(crops, expected, strict=True):
        assert np.abs(crop.rgb.astype(float) - reference.rgb).mean() < 7.0
