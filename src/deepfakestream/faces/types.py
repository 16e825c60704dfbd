"""What the package hands on: detections, face crops, tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deepfakestream.errors import Reason
from deepfakestream.faces.pose import HeadPose
from deepfakestream.media.types import MediaInfo, MediaNote, RGBImage

Floats = NDArray[np.float32]
BoxXYXY = tuple[float, float, float, float]
"""Box corners `(x_min, y_min, x_max, y_max)` in pixels of the full frame; may reach over its border."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One face in one frame."""

    box_xyxy: BoxXYXY
    landmarks_xy: NDArray[np.float32]
    """`(5, 2)`: left eye, right eye, nose, left and right mouth corner (image left), full-frame pixels."""
    score: float


class FaceDetector(Protocol):
    """Finds faces in pictures."""

    name: str
    digest: str
    """Of the weights and the algorithm around them: part of the key of every extraction."""

    def detect(self, images: Sequence[RGBImage]) -> list[list[Detection]]:
        """Return each picture's faces, the largest first; an empty list where there is none.

        Args:
            images: upright pictures `(height, width, 3)`, RGB, 0-255; sizes may differ.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionSpec:
    """Everything that decides which pixels become a crop; travels with the weights."""

    detector: str
    num_frames: int
    min_face_px: int
    min_score: float
    max_faces_per_frame: int
    crop_scale: float
    """Side of the square crop over the longer side of the box."""
    crop_size_px: int
    crop_shift_y: float = 0.0
    """How far the crop's centre lies below the box's, over the longer side of the box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceCrop:
    """One face of one frame as the networks see it."""

    rgb: RGBImage
    """`(crop_size_px, crop_size_px, 3)`."""
    wide_rgb: RGBImage | None = None
    """The same face cut wider, of the same size, where the caller asks for it."""
    frame_index: int
    """Position of its frame in `ExtractedFaces.frames`."""
    time_s: float
    track_id: int
    box_xyxy: BoxXYXY
    landmarks_xy: NDArray[np.float32]
    score: float
    face_px: float
    """Shorter side of the box, full-frame pixels."""
    sharpness: float
    """Variance of the Laplacian of the crop's luma."""
    luma: float
    """Mean luma of the crop, 0-255."""
    pose: HeadPose | None
    """Where the head looks; None without landmarks, as in a whole picture taken as a face."""
    stream: int = 0
    """Picture stream that the frame belongs to; 0 is the main one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedFrame:
    """A frame that was searched for faces."""

    time_s: float
    stream: int = 0
    """Picture stream that it belongs to; 0 is the main one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedFaces:
    """The face crops of one file, in order of time, and why there may be none."""

    info: MediaInfo
    num_frames: int
    """Frames that were decoded and searched."""
    crops: tuple[FaceCrop, ...]
    notes: tuple[Reason, ...]
    frames: tuple[SearchedFrame, ...] = ()
    """The searched frames in order: stream by stream, by time."""
    media_notes: tuple[MediaNote, ...] = ()
    """What was searched, left out and converted."""
