"""A verdict and what it rests on; the same value is printed, served, logged and evaluated."""

from __future__ import annotations

from typing import Any, Literal

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
    """Time of the frame in seconds; 0 for an image."""
    box_xyxy: BoxXYXY
    """Corners (x_min, y_min, x_max, y_max) in pixels of the upright frame."""
    p_fake: float
    """Calibrated score of this face alone, 0 (real) to 1 (fake)."""
    frame: int = 0
    """Position of its frame in `coverage.frames`."""


class TrackResult(Frozen):
    """One person over time."""

    track_id: int
    """Number of the person in this result."""
    stream: int = 0
    """Picture stream (of a picture file: page) in which the person is; 0 is the main one."""
    start_s: float
    """First scored time in seconds."""
    end_s: float
    """Last scored time in seconds."""
    p_fake: float
    """Calibrated score of the person, 0 (real) to 1 (fake)."""
    num_frames: int
    """Frames in which the person was scored."""
    median_face_px: float
    """Median of the shorter side of the face, in pixels."""
    faces: tuple[FaceScore, ...]
    """Every scored face of the person, in order of time."""


class Note(Frozen):
    """One thing that was searched, left out or converted while the file was read."""

    code: NoteCode
    """Stable code of the note."""
    text: str
    """The note as a sentence."""
    reason: Reason | None = None
    """The reason in the verdict that it goes with; null where it limits nothing."""


class MediaFacts(Frozen):
    """What was scanned. Width and height are those of the upright picture with square pixels."""

    sha256: str
    """SHA-256 of the file."""
    kind: Literal["image", "video"]
    """Image or video, by the content."""
    codec: str
    """How the pictures are coded."""
    width_px: int
    """Width of the upright picture."""
    height_px: int
    """Height of the upright picture."""
    size_bytes: int
    """Size of the file."""
    duration_s: float | None
    """Length of a video in seconds; null for an image."""
    fps: float | None
    """Frame rate of a video; null for an image."""
    frames_searched: int
    """Frames that were decoded and searched for faces."""
    notes: tuple[Note, ...] = ()
    """What of the file was searched, what was left out and why, and how its pixels were converted."""


class NotScored(Frozen):
    """A part of a video without a score."""

    start_s: float
    """Begin in seconds."""
    end_s: float
    """End in seconds."""
    reason: Reason = Field(
        description="no_face: none was found there; face_too_small, face_cut_off, picture_of_face: what was "
        "found was left out; truncated, time_budget: the file was not read so far"
    )


class SearchedFrame(Frozen):
    """A frame that was searched for faces."""

    time_s: float
    """Time in seconds; 0 for an image."""
    stream: int
    """Picture stream (of a picture file: page) that it belongs to; 0 is the main one."""
    num_faces: int
    """Faces in it that were scored."""


class Coverage(Frozen):
    """How much of a file was searched and scored. Each searched frame stands for the time around it."""

    frames_searched: int
    """Frames that were searched for faces."""
    frames_scored: int = Field(description="searched frames with at least one scored face")
    seconds_between_frames: float | None = Field(
        description="mean distance of searched frames; what lies between two of them was not looked at"
    )
    scored_s: float = Field(description="seconds that frames with a scored face stand for; 0 for an image")
    not_scored_s: float
    """Seconds without a score."""
    not_scored: tuple[NotScored, ...] = Field(description="in order of time; empty for an image")
    frames: tuple[SearchedFrame, ...] = Field(
        (), description="the searched frames: stream by stream, in order of time"
    )


class ScanResult(Frozen):
    """The verdict on one file. `p_fake` is null exactly when the verdict is `not_applicable`."""

    file: str
    """What the caller calls the file."""
    verdict: Verdict
    """What p_fake is at the operating point."""
    p_fake: float | None
    """Calibrated score from 0 (real) to 1 (fake); null with not_applicable."""
    interval: tuple[float, float] | None
    """95 % interval of p_fake from resampling the scored frames; null with fewer than two."""
    reasons: tuple[Reason, ...]
    """What limits the verdict, or why there is none."""
    tracks: tuple[TrackResult, ...]
    """Persons, the most suspicious first."""
    model: ModelInfo
    """Which model spoke."""
    operating_point: str
    """Name of the threshold in force."""
    threshold: OperatingPoint
    """The threshold in force, with its measured rates."""
    media: MediaFacts | None
    """What was scanned; null where the file could not be read."""
    coverage: Coverage | None = None
    """What part of the file the verdict rests on; null where the file could not be read."""
    features: dict[str, float]
    """Numbers for the prediction log (face size, sharpness, luma, ...): no pixels."""
    embedding: tuple[float, ...] | None = Field(default=None, exclude=True, repr=False)
    """For the prediction log, never shown: mean over the faces of what the network saw, projected; null
    without a face, or where the model gives none."""
    message: str = ""
    """One sentence for a person, e.g. why there is no score."""

    def as_stored(self) -> dict[str, Any]:
        """Return the result as JSON for our own stores, with the embedding, which callers do not get."""
        embedding = None if self.embedding is None else list(self.embedding)
        return self.model_dump(mode="json") | {"embedding": embedding}
