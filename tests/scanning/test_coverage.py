"""What a result says about the parts of a video that have no score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from face_crops import face_crop

from deepfakestream.errors import Reason
from deepfakestream.faces.types import ExtractedFaces, SearchedFrame
from deepfakestream.media.types import MediaInfo
from deepfakestream.scanning.coverage import coverage_of

CROP = face_crop(np.zeros((4, 4, 3), np.uint8))
INFO = MediaInfo(
    kind="video",
    container="mp4",
    codec="h264",
    width_px=8,
    height_px=8,
    size_bytes=9,
    duration_s=10.0,
    fps=25.0,
)


def searched(scored: str, *notes: Reason, info: MediaInfo = INFO) -> ExtractedFaces:
    """A clip whose frames at 1, 3, 5 … s have a scored face (x) or none (.)."""
    times = tuple(1.0 + 2 * index for index in range(len(scored)))
    crops = [
        replace(CROP, time_s=time, frame_index=number)
        for number, (time, mark) in enumerate(zip(times, scored, strict=True))
        if mark == "x"
    ]
    frames = tuple(SearchedFrame(time_s=time) for time in times)
    return ExtractedFaces(info=info, num_frames=len(scored), crops=tuple(crops), notes=notes, frames=frames)


@pytest.mark.parametrize(
    ("faces", "expected"),
    [
        (searched("xxxxx"), []),
        (searched("..x.x"), [(0, 4, "no_face"), (6, 8, "no_face")]),
        (searched(".....", Reason.NO_FACE), [(0, 10, "no_face")]),
        (searched("x.xxx", Reason.FACE_TOO_SMALL), [(2, 4, "face_too_small")]),
        (searched("xxxx.", Reason.PICTURE_OF_FACE), [(8, 10, "picture_of_face")]),
        (searched("xx", Reason.TRUNCATED), [(3, 10, "truncated")]),
        (searched("x..", Reason.TIME_BUDGET), [(2, 5, "no_face"), (5, 10, "time_budget")]),
    ],
)
def test_ranges_without_a_score_have_their_reason(
    faces: ExtractedFaces, expected: list[tuple[float, float, str]]
) -> None:
    coverage = coverage_of(faces)
    assert [(each.start_s, each.end_s, each.reason) for each in coverage.not_scored] == expected
    assert coverage.scored_s + coverage.not_scored_s == pytest.approx(10)
    assert coverage.not_scored_s == pytest.approx(sum(end - start for start, end, _ in expected))


def test_the_distance_of_searched_frames_is_said() -> None:
    coverage = coverage_of(searched("xx.xx"))
    assert (coverage.frames_searched, coverage.frames_scored, coverage.seconds_between_frames) == (5, 4, 2.0)
    assert [(frame.time_s, frame.num_faces) for frame in coverage.frames] == [
        (1.0, 1), (3.0, 1), (5.0, 0), (7.0, 1), (9.0, 1)
    ]  # fmt: skip


def test_a_picture_has_no_ranges() -> None:
    faces = replace(searched("x"), info=replace(INFO, kind="image", duration_s=None))
    assert coverage_of(faces).model_dump() == {
        "frames_searched": 1, "frames_scored": 1, "seconds_between_frames": None, "scored_s": 0.0,
        "not_scored_s": 0.0, "not_scored": (), "frames": ({"time_s": 1.0, "stream": 0, "num_faces": 1},),
    }  # fmt: skip


def test_a_real_clip_is_covered(
    face_clip: Path, detector: object, extraction_spec: object, budget: object
) -> None:
    from deepfakestream.faces.extraction import extract_faces

    coverage = coverage_of(extract_faces(face_clip, detector, extraction_spec, budget))  # type: ignore[arg-type]
    assert (coverage.frames_searched, coverage.frames_scored, coverage.not_scored) == (8, 8, ())
    assert coverage.scored_s == pytest.approx(2.0, abs=0.05)
