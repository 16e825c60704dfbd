"""Frames of any file, spread evenly over all of it: one way in for images, animations and videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.animation import animation_frames
from deepfakestream.media.clip_frames import clip_frames
from deepfakestream.media.probe import probe
from deepfakestream.media.stills import decode_still, is_animated, open_picture
from deepfakestream.media.types import Frame, FrameSample, MediaBudget, MediaInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameStream:
    """Frames of one file as they are decoded, so that a large clip never lies in memory as a whole."""

    info: MediaInfo
    frames: Iterator[Frame]
    """Read it once, to the end; raises `MediaError` when not a single frame can be decoded."""
    found_notes: set[Reason]
    """Grows while `frames` is read."""

    @property
    def notes(self) -> tuple[Reason, ...]:
        """What cut the reading short, in a fixed order."""
        return tuple(sorted(self.found_notes))


def stream_frames(path: Path, *, num_frames: int, budget: MediaBudget) -> FrameStream:
    """Open a file for reading at most `num_frames` frames, spread evenly over all of it.

    Raises:
        MediaError: the file cannot be read or is over the budget.
    """
    info = probe(path, budget)
    notes: set[Reason] = set()
    return FrameStream(
        info=info,
        frames=_at_least_one(path, _decode(path, num_frames, budget, notes), notes),
        found_notes=notes,
    )


def sample_frames(path: Path, *, num_frames: int, budget: MediaBudget) -> FrameSample:
    """Return at most `num_frames` frames, spread evenly over the whole file by presentation time.

    A damaged file gives the frames that can be decoded and a note; an image gives its one picture.

    Raises:
        MediaError: the file cannot be read at all or is over the budget.
    """
    stream = stream_frames(path, num_frames=num_frames, budget=budget)
    frames = tuple(stream.frames)
    return FrameSample(info=stream.info, frames=frames, notes=stream.notes)


def _decode(path: Path, num_frames: int, budget: MediaBudget, notes: set[Reason]) -> Iterator[Frame]:
    with open_picture(path, budget) as picture:
        if picture is None:
            yield from clip_frames(path, num_frames, budget, notes)
        elif is_animated(picture):
            yield from animation_frames(path, picture, num_frames, budget, notes)
        else:
            rgb, is_cut = decode_still(path, picture)
            if is_cut:
                notes.add(Reason.TRUNCATED)
            yield Frame(index=0, time_s=0.0, rgb=rgb)


def _at_least_one(path: Path, frames: Iterator[Frame], notes: set[Reason]) -> Iterator[Frame]:
    is_empty = True
    for frame in frames:
        is_empty = False
        yield frame
    if is_empty:
        reason = min(notes, default=Reason.UNREADABLE)
        remedy = (
            "no frame could be decoded in the time allowed; re-encode it to H.264 or give a smaller file"
            if reason == Reason.TIME_BUDGET
            else "not a single frame can be decoded; get a whole copy of the file"
        )
        raise MediaError(reason, f"{path.name}: {remedy}")
