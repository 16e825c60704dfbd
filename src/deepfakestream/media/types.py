"""What the media package hands on: facts about a file, decoded frames, and the record of the reading."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepfakestream.errors import MediaError, Reason

RGBImage = NDArray[np.uint8]
"""An 8-bit sRGB picture of shape `(height, width, 3)`: upright, with square pixels."""


MediaKind = Literal["image", "video"]
"""Animated pictures are videos."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaBudget:
    """The most that decoding one file may cost."""

    max_pixels: int = 40_000_000
    """Pixels of one frame. A larger JPEG is decoded at a half, a quarter or an eighth of its size."""
    max_duration_s: float = 3600.0
    """Length of a video; longer ones are refused."""
    max_decoded_frames: int = 20_000
    """Frames decoded to reach the sampled ones."""
    max_wall_s: float = 60.0
    """Seconds of decoding after which what was read so far is returned."""
    max_streams: int = 4
    """Picture streams of a video, or pages of a picture, that are searched."""

    def check_pixels(self, path: Path, size_px: tuple[int, int]) -> None:
        """Raise `MediaError` when a picture of this width and height is over the budget.

        Args:
            path: for the message.
            size_px: width and height.
        """
        if size_px[0] * size_px[1] > self.max_pixels:
            raise self.too_many_pixels(path, f"{size_px[0]} x {size_px[1]} pixels")

    def too_many_pixels(self, path: Path, what: str) -> MediaError:
        """Return the error for a picture over the budget.

        Args:
            path: for the message.
            what: size and kind of the picture, in words.
        """
        return MediaError(
            Reason.TOO_MANY_PIXELS,
            f"{path.name}: {what} exceed the limit of {self.max_pixels} pixels; "
            "scale it down or raise the limit",
        )

    def check_duration(self, path: Path, duration_s: float) -> None:
        """Raise `MediaError` when a clip of this length is over the budget.

        Args:
            path: for the message.
            duration_s: length in seconds.
        """
        if duration_s > self.max_duration_s:
            raise MediaError(
                Reason.TOO_LONG,
                f"{path.name}: {duration_s:.0f} s exceed the limit of {self.max_duration_s:.0f} s; "
                "cut the clip or raise the limit",
            )

    def check_num_frames(self, path: Path, num_frames: int) -> None:
        """Raise `MediaError` when an animation of so many frames is over the budget.

        Args:
            path: for the message.
            num_frames: frames of the animation.
        """
        if num_frames > self.max_decoded_frames:
            raise MediaError(
                Reason.TOO_LONG,
                f"{path.name}: {num_frames} frames exceed the limit of {self.max_decoded_frames}; "
                "cut the animation or raise the limit",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """Facts about a file; None where it does not say. Of several picture streams, the main one counts."""

    kind: MediaKind
    container: str
    codec: str
    width_px: int
    """Of the upright picture with square pixels, as frames have it."""
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
    """Position among the sampled frames of all streams, from 0."""
    time_s: float
    """Time from the start of the film on a clock that never jumps; 0 for an image."""
    rgb: RGBImage
    stream: int = 0
    """Which picture stream (of a picture file: page) it belongs to: 0 is the main one."""
    part: int = 0
    """Which of several recordings that were joined it belongs to, as far as the clock tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Animation:
    """When the frames of an animated picture are shown."""

    durations_ms: tuple[float, ...]
    """As stated, of every frame whose data are whole."""
    is_whole: bool
    """Whether the file's end is there."""
    first: int = 0
    """Pillow's number of the first frame that is shown: an animated PNG may hide its first picture."""


class NoteCode(StrEnum):
    """What a note is about."""

    SEARCHED = "searched"
    STREAM_SKIPPED = "stream_skipped"
    PART_SKIPPED = "part_skipped"
    FACES_SKIPPED = "faces_skipped"
    TURNED = "turned"
    STRETCHED = "stretched"
    SCALED_DOWN = "scaled_down"
    DEINTERLACED = "deinterlaced"
    COLOUR_CONVERTED = "colour_converted"
    CLOCK_REPAIRED = "clock_repaired"
    ALPHA_IGNORED = "alpha_ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaNote:
    """One thing that was searched, left out or converted."""

    code: NoteCode
    text: str
    """A sentence for a person, without capital and full stop."""
    reason: Reason | None = None
    """The reason that a verdict carries because of it; None where it needs none."""


@dataclass(slots=True)
class Record:
    """What was searched, left out and converted so far; it grows while frames are read."""

    found_reasons: set[Reason] = field(default_factory=set)
    found_notes: dict[MediaNote, None] = field(default_factory=dict)

    def add(self, code: NoteCode, text: str, reason: Reason | None = None) -> None:
        """Add a note, once, and the reason that a verdict must carry with it.

        Args:
            code: stable code of the note.
            text: the note as a sentence.
            reason: that limits the verdict, if any.
        """
        self.found_notes[MediaNote(code=code, text=text, reason=reason)] = None
        if reason is not None:
            self.found_reasons.add(reason)

    def colour_converted(self, *, is_hdr: bool) -> None:
        """Note that colours were converted; no model has been measured on HDR, so a verdict must say that."""
        if is_hdr:
            self.add(NoteCode.COLOUR_CONVERTED, "HDR was tone-mapped to sRGB", Reason.HDR_CONVERTED)
        else:
            self.add(NoteCode.COLOUR_CONVERTED, "its colour space was converted to sRGB")

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What a verdict must say: why only a part was searched, or what makes it less certain; sorted."""
        return tuple(sorted(self.found_reasons))

    @property
    def notes(self) -> tuple[MediaNote, ...]:
        """All notes in the order in which they came."""
        return tuple(self.found_notes)


class Stopwatch:
    """Seconds spent in one's own work: runs from the start, and a generator pauses it around each `yield`."""

    def __init__(self) -> None:
        self._total_s = 0.0
        self._since: float | None = time.monotonic()

    def pause(self) -> None:
        """Stop counting."""
        self._total_s = self.elapsed_s
        self._since = None

    def resume(self) -> None:
        """Count on."""
        self._since = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds counted so far."""
        return self._total_s + (time.monotonic() - self._since if self._since is not None else 0.0)
