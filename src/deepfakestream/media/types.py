"""What the media room hands on: facts about a file and decoded frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepfakestream.errors import Reason

RGBImage = NDArray[np.uint8]
"""An 8-bit RGB picture of shape `(height, width, 3)`, upright (EXIF and display matrix applied)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaBudget:
    """The most that decoding one file may cost."""

    max_pixels: int = 40_000_000
    """Pixels of one frame."""
    max_duration_s: float = 3600.0
    """Length of a video; longer ones are refused."""
    max_decoded_frames: int = 20_000
    """Frames decoded to reach the sampled ones."""
    max_wall_s: float = 60.0
    """Seconds of decoding after which what was read so far is returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """Facts that a probe reads from a file's headers; None where the container does not say."""

    kind: Literal["image", "video"]
    container: str
    codec: str
    width_px: int
    height_px: int
    size_bytes: int
    duration_s: float | None = None
    fps: float | None = None
    num_frames: int | None = None
    bit_rate_bps: int | None = None
    jpeg_quality: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One decoded frame."""

    index: int
    """Position among the sampled frames, from 0."""
    time_s: float
    """Presentation time from the start of the clip; 0 for an image."""
    rgb: RGBImage


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSample:
    """The sampled frames of one file and what went wrong on the way."""

    info: MediaInfo
    frames: tuple[Frame, ...]
    notes: tuple[Reason, ...] = ()
    """E.g. `Reason.TRUNCATED` where the file ended early; the frames before the damage are here."""
