"""A verdict and what it rests on; the same value is printed, served, logged and evaluated."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deepfakestream.errors import Reason
from deepfakestream.faces.types import BoxXYXY
from deepfakestream.frozen import Frozen
from deepfakestream.media.types import NoteCode
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint

Verdict = Literal["likely_fake", "inconclusive", "likely_real", "not_applicable"]


class FaceScore(Frozen):
    """One face in one frame; `p_fake` is the calibrated score of this face alone."""

    time_s: float
    box_xyxy: BoxXYXY
    p_fake: float


class TrackResult(Frozen):
    """One person over time."""

    track_id: int
    stream: int = 0
    """Picture stream (of a picture file: page) in which the person is; 0 is the main one."""
    start_s: float
    end_s: float
    p_fake: float
    num_frames: int
    median_face_px: float
    faces: tuple[FaceScore, ...]


class Note(Frozen):
    """One thing that was searched, left out or converted while the file was read."""

    code: NoteCode
    text: str
    reason: Reason | None = None
    """The reason in the verdict that it goes with; null where it limits nothing."""


class MediaFacts(Frozen):
    """What was scanned. Width and height are those of the upright picture with square pixels."""

    sha256: str
    kind: Literal["image", "video"]
    codec: str
    width_px: int
    height_px: int
    size_bytes: int
    duration_s: float | None
    fps: float | None
    frames_searched: int
    notes: tuple[Note, ...] = ()
    """What of the file was searched, what was left out and why, and how its pixels were converted."""


class NotScored(Frozen):
    """A part of a video without a score."""

    start_s: float
    end_s: float
    reason: Reason = Field(
        description="no_face: none was found there; face_too_small, face_cut_off, picture_of_face: what was "
        "found was left out; truncated, time_budget: the file was not read so far"
    )


class Coverage(Frozen):
    """How much of a file was searched and scored. Each searched frame stands for the time around it."""

    frames_searched: int
    frames_scored: int = Field(description="searched frames with at least one scored face")
    seconds_between_frames: float | None = Field(
        description="mean distance of searched frames; what lies between two of them was not looked at"
    )
    scored_s: float = Field(description="seconds that frames with a scored face stand for; 0 for an image")
    not_scored_s: float
    not_scored: tuple[NotScored, ...] = Field(description="in order of time; empty for an image")


class ScanResult(Frozen):
    """The verdict on one file. `p_fake` is null exactly when the verdict is `not_applicable`."""

    file: str
    verdict: Verdict
    p_fake: float | None
    interval: tuple[float, float] | None
    """95 % interval of p_fake from resampling the scored frames; null with fewer than two."""
    reasons: tuple[Reason, ...]
    tracks: tuple[TrackResult, ...]
    model: ModelInfo
    operating_point: str
    threshold: OperatingPoint
    media: MediaFacts | None
    coverage: Coverage | None = None
    """What part of the file the verdict rests on; null where the file could not be read."""
    features: dict[str, float]
    """Numbers for the prediction log (face size, sharpness, luma, ...): no pixels."""
    message: str = ""
    """One sentence for a person, e.g. why there is no score."""
